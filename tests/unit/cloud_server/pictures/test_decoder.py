"""Hostile pictures against the process that decodes them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splitfer.cloud_server.pictures import decoder as picture_decoder
from splitfer.cloud_server.pictures.decoder import PictureDecoder
from splitfer.shared.errors import ImageError, InferenceFailed, NotReady, SplitFerError
from splitfer.shared.vision.picture import decode_picture, to_grey
from tests.processes import wait_until
from tests.unit.cloud_server.pictures.made_pictures import BAD, encoded, grey

MOST_PIXELS = 16_000_000
GOOD = encoded(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8), "PNG")


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    made = PictureDecoder(MOST_PIXELS, 60)
    yield made
    made.close()


def assert_fine(decoder: PictureDecoder) -> None:
    np.testing.assert_array_equal(decoder.decode(GOOD), to_grey(decode_picture(GOOD, MOST_PIXELS)))


# The largest that is read, gone through as often as it may be: it takes long.
LONG = encoded(grey(4000), progressive=True)


def ended(pid: int) -> bool:
    """Gone, or dead and only not yet buried by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pixels_are_those_of_a_decoder_in_this_process(decoder: PictureDecoder, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(
        np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8), kind, exif=exif
    )
    pixels = decoder.decode(data)
    assert pixels.shape == (70, 50)
    np.testing.assert_array_equal(pixels, to_grey(decode_picture(data, MOST_PIXELS)))


@pytest.mark.parametrize("name", BAD)
def test_errors_come_back_as_they_are(decoder: PictureDecoder, name: str) -> None:
    assert_fine(decoder)
    pid = decoder.pid
    data, _ = BAD[name]
    with pytest.raises(SplitFerError) as here:
        decode_picture(data, MOST_PIXELS)
    with pytest.raises(SplitFerError) as there:
        decoder.decode(data)
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    assert_fine(decoder)
    assert decoder.pid == pid  # the bomb too: it was refused, not survived


def test_the_process_holds_itself_in_bounds(decoder: PictureDecoder) -> None:
    assert_fine(decoder)
    limits = Path(f"/proc/{decoder.pid}/limits").read_text()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert 0 < int(soft["Max address space"]) < 2**30
    assert (soft["Max open files"], soft["Max file size"]) == ("3", "0")
    assert soft["Max core file size"] == "0"


def test_it_has_neither_torch_nor_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_TOKEN", "s3cret")
    decoder = PictureDecoder(MOST_PIXELS, 60)
    assert_fine(decoder)
    assert b"s3cret" not in Path(f"/proc/{decoder.pid}/environ").read_bytes()
    decoder.close()
    script = "import sys, splitfer.cloud_server.pictures.decoder; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"torch", "onnxruntime", "dlib", "grpc", "pydantic"} & set(done.stdout.split())


def test_one_that_needs_too_much_memory() -> None:
    # Its own bound would take a picture of many megabytes: a narrower one is put on it here.
    decoder = PictureDecoder(MOST_PIXELS, 60)
    assert_fine(decoder)
    assert decoder.pid is not None
    pages = int(Path(f"/proc/{decoder.pid}/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + 20 * 2**20
    resource.prlimit(decoder.pid, resource.RLIMIT_AS, (bound, bound))
    with pytest.raises(ImageError, match="more memory"):
        decoder.decode(encoded(grey(3500), "PNG"))
    assert_fine(decoder)
    decoder.close()


def test_one_that_overruns_fails_alone() -> None:
    hurried, calm = PictureDecoder(MOST_PIXELS, 0.03), PictureDecoder(MOST_PIXELS, 60)
    with ThreadPoolExecutor(1) as thread:
        neighbour = thread.submit(lambda: [calm.decode(GOOD) for _ in range(20)])
        with pytest.raises(ImageError, match="takes too long"):
            hurried.decode(LONG)
        assert len(neighbour.result()) == 20
    assert_fine(hurried)  # its next caller gets a new process
    hurried.close()
    calm.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_one_that_breaks_the_process_fails_alone(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = PictureDecoder(MOST_PIXELS, 3600)
    asking, ask = threading.Event(), decoder._ask

    def asked(*given: Any) -> Any:
        asking.set()
        return ask(*given)

    monkeypatch.setattr(decoder, "_ask", asked)
    assert_fine(decoder)
    pid = decoder.pid
    assert pid is not None
    with ThreadPoolExecutor(1) as thread:
        # Stopped first, so that the picture is on its way when the process dies.
        os.kill(pid, signal.SIGSTOP)
        stat = Path(f"/proc/{pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "a stop")
        asking.clear()
        broken = thread.submit(decoder.decode, GOOD)
        wait_until(asking.is_set, "the picture to be on its way")  # its process was alive
        os.kill(pid, number)
        with contextlib.suppress(ProcessLookupError):  # SIGKILL does not wait for it
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(ImageError, match="broke its decoder"):
            broken.result()
    assert_fine(decoder)
    assert decoder.pid != pid
    decoder.close()


def test_one_that_died_while_idle_costs_nobody_a_picture() -> None:
    decoder = PictureDecoder(MOST_PIXELS, 60)
    assert_fine(decoder)
    assert decoder.pid is not None
    pid = decoder.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: ended(pid), "its end")
    assert_fine(decoder)
    decoder.close()


def test_one_that_is_stopped_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_decoder, "PATIENCE_S", 0.2)
    decoder = PictureDecoder(MOST_PIXELS, 0.1)
    wait_until(lambda: _decodes(decoder), "a start in time")
    assert decoder.pid is not None
    os.kill(decoder.pid, signal.SIGSTOP)
    with pytest.raises(ImageError, match="takes too long"):
        decoder.decode(GOOD)
    assert decoder.pid is None
    decoder.close()


def _decodes(decoder: PictureDecoder) -> bool:
    try:
        decoder.decode(GOOD)
    except ImageError:
        return False
    return True


def test_closing_ends_the_process_and_whoever_waits_for_it() -> None:
    decoder = PictureDecoder(MOST_PIXELS, 3600)
    assert_fine(decoder)
    pid = decoder.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(decoder.decode, GOOD)
        wait_until(lambda: not decoder.idle, "the picture to be on its way")
        decoder.close()
        with pytest.raises(NotReady):
            waiting.result()
    assert ended(pid)
    with pytest.raises(NotReady):
        decoder.decode(GOOD)


def test_a_process_that_cannot_start_is_the_servers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    decoder = PictureDecoder(MOST_PIXELS, 60)
    with pytest.raises(InferenceFailed):
        decoder.decode(GOOD)
    monkeypatch.undo()
    assert_fine(decoder)
    decoder.close()


@pytest.mark.parametrize("picture", [b"", LONG], ids=["idle", "busy"])
def test_nothing_is_left_behind_by_a_server_that_is_killed(picture: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(picture)
    script = f"""if True:
        import pathlib, sys, time
        from splitfer.cloud_server.pictures.decoder import PictureDecoder
        decoder = PictureDecoder({MOST_PIXELS}, 1)
        try:
            decoder.decode(b"")
        except Exception:
            print(decoder.pid, flush=True)
        picture = pathlib.Path(sys.argv[1]).read_bytes()
        if picture:
            decoder.decode(picture)
        time.sleep(3600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, file], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        pid = int(server.stdout.readline())
        server.kill()
    wait_until(lambda: ended(pid), "the end of its process")
