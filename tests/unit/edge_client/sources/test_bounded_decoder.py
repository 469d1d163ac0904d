"""Cameras and addresses, decoded in a process of their own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from splitfer.edge_client.sources import bounded_decoder, decoder
from splitfer.edge_client.sources.bounded_decoder import DecoderProcess
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.sources.video_decoder import VideoDecoder
from splitfer.shared.errors import SourceError, SourceRefused
from tests.camera import Camera, Connection
from tests.processes import child_processes, wait_until
from tests.unit.edge_client.sources.test_open import write_video


def endless(connection: Connection) -> None:
    connection.pictures()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[DecoderProcess]:
    made = DecoderProcess(str(write_video(tmp_path / "clip.mp4")), "clip")
    yield made
    made.close()


def test_pictures_and_claims_are_those_of_a_decoder_in_this_process(
    process: DecoderProcess, tmp_path: Path
) -> None:
    here, there = VideoDecoder(str(tmp_path / "clip.mp4"), "clip"), process.open()
    claims = ("name", "fps", "duration_s", "frames_total")
    assert [getattr(there, one) for one in claims] == [getattr(here, one) for one in claims]
    never = threading.Event()
    for ours, theirs in zip(here.pictures(never), there.pictures(never), strict=True):
        np.testing.assert_array_equal(theirs.rgb, ours.rgb)
        assert theirs.time_s == ours.time_s


def test_one_process_serves_every_opening(process: DecoderProcess) -> None:
    first = process.open()
    assert len(list(first.pictures(threading.Event()))) == 6
    pid = process.pid
    assert len(list(first.again().pictures(threading.Event()))) == 6
    assert process.pid == pid


def test_what_cannot_be_opened_is_told_as_in_this_process(tmp_path: Path) -> None:
    process = DecoderProcess(str(tmp_path / "none.mp4"), "door", hint="look there")
    with pytest.raises(SourceError, match="door: no such file or directory; look there") as caught:
        process.open()
    assert not isinstance(caught.value, SourceRefused)
    process.close()


def test_a_wrong_password_is_told_as_one() -> None:
    with (
        Camera([lambda connection: connection.begin("text/plain", 401)]) as camera,
        pytest.raises(SourceRefused, match="user and password"),
    ):
        open_source(camera.address, wait=True)


def test_a_decoder_that_dies_costs_its_pictures_alone() -> None:
    with Camera([endless]) as camera:
        process = DecoderProcess(camera.address, "door")
        pictures = process.open().pictures(threading.Event())
        next(pictures)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(SourceError, match="door: its pictures ended their decoder by signal"):
            for _ in pictures:
                pass
        assert next(process.open().pictures(threading.Event())).rgb.shape == (48, 64, 3)
        process.close()


def test_a_decoder_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(bounded_decoder, "_GRACE_S", 0.3)
    with Camera([endless]) as camera:
        process = DecoderProcess(camera.address, "door")
        pictures = process.open().pictures(threading.Event())
        next(pictures)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(SourceError, match="door: no picture for"):
            for _ in pictures:
                pass
        assert process.pid is None
        process.close()


def test_a_stream_without_pictures_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes come, and are none of a picture."""

    def rubbish(connection: Connection) -> None:
        connection.begin()
        while not connection.closed.wait(0.01):
            connection.part(b"\xff\xd8" + b"no picture" * 10)

    monkeypatch.setattr(bounded_decoder, "FIRST_PICTURE_S", 0.5)
    with Camera([rubbish]) as camera:
        process = DecoderProcess(camera.address, "door", format="mpjpeg")
        with pytest.raises(SourceError, match="door: "):
            next(process.open().pictures(threading.Event()))
        process.close()


def test_closing_ends_a_process_that_waits_for_its_camera() -> None:
    with Camera([lambda connection: connection.silence()]) as camera:
        process = DecoderProcess(camera.address, "door")
        caught: list[Exception] = []

        def opening() -> None:
            try:
                process.open()
            except SourceError as error:
                caught.append(error)

        thread = threading.Thread(target=opening)
        thread.start()
        wait_until(lambda: camera.requests, "the camera to be asked")
        process.close()
        thread.join(decoder.OPEN_TIMEOUT_S / 2)
        assert not thread.is_alive()
        assert caught


def test_a_closed_stream_leaves_nothing_behind() -> None:
    before = set(os.listdir("/proc/self/fd"))
    others = set(child_processes())  # of other tests in this process
    with Camera([endless]) as camera:
        source = open_source(camera.address)
        frames = iter(source)
        assert next(frames).rgb.shape == (48, 64, 3)
        assert len(set(child_processes()) - others) == 1
        source.close()
        assert list(frames) == []
        del frames, source
        assert set(child_processes()) <= others
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_process_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_EDGE_TOKEN", "a secret of the device")
    with Camera([endless]) as camera:
        process = DecoderProcess(camera.address, "door")
        process.open()
        environment = Path(f"/proc/{process.pid}/environ").read_text()
        words = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) >= 500
        process.close()
    assert "secret" not in environment
    assert camera.address not in words
