"""Servers that others wrote: Debian's gst-rtsp-server, ustreamer, and ffmpeg as a camera."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from splitfer.edge_client.sources import decoder
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.errors import SourceError
from tests.processes import free_port

_PYTHON = Path("/usr/bin/python3")
_CLIP = Path(str(resources.files("splitfer.edge_client.assets").joinpath("demo.mp4")))
_GST = "import gi; gi.require_version('GstRtspServer', '1.0')"


def _has_gst() -> bool:
    return (
        _PYTHON.exists()
        and not subprocess.run([_PYTHON, "-c", _GST], capture_output=True).returncode
    )


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def rtsp() -> Iterator[str]:
    if not _has_gst():
        pytest.skip("gst-rtsp-server is not installed (gir1.2-gst-rtsp-server-1.0)")
    with running(_PYTHON, Path(__file__).with_name("rtsp_server.py"), _CLIP) as server:
        assert server.stdout is not None
        yield f"rtsp://127.0.0.1:{int(server.stdout.readline())}"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("path", ["clip", "test"])
def test_an_rtsp_server_shows_its_pictures(rtsp: str, path: str, transport: str) -> None:
    with open_source(f"{rtsp}/{path}", rtsp_transport=transport) as source:
        frames = [frame for frame, _ in zip(source, range(8), strict=False)]
    shape = (240, 320, 3) if path == "test" else next(iter(open_source("demo"))).rgb.shape
    assert {frame.rgb.shape for frame in frames} == {shape}
    assert [frame.index for frame in frames] == list(range(8))
    assert float(np.mean([frame.rgb.std() for frame in frames])) > 10


def test_an_rtsp_server_with_sound_alone_is_told(rtsp: str) -> None:
    with pytest.raises(SourceError, match="there is no picture in it"):
        open_source(f"{rtsp}/sound")


def test_an_rtsp_server_that_freezes_is_left_and_found_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not _has_gst():
        pytest.skip("gst-rtsp-server is not installed (gir1.2-gst-rtsp-server-1.0)")
    monkeypatch.setattr(decoder, "READ_TIMEOUT_S", 1.0)
    with running(_PYTHON, Path(__file__).with_name("rtsp_server.py"), _CLIP) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with open_source(f"rtsp://127.0.0.1:{port}/test") as source:
            frames = iter(source)
            next(frames)
            server.send_signal(signal.SIGSTOP)
            wake = threading.Timer(3, server.send_signal, [signal.SIGCONT])
            wake.start()
            while not source.reopened:
                next(frames)
            wake.join()
    said = [record.getMessage() for record in caplog.records]
    assert any("no picture for" in line or "end of file" in line.lower() for line in said), said
    assert any("pictures come, after" in line for line in said), said


@needs("ustreamer")
def test_ustreamer_shows_that_it_has_no_camera() -> None:
    port = free_port()
    with running("ustreamer", "--host", "127.0.0.1", "--port", str(port), "--device", "/dev/none"):
        address = f"http://127.0.0.1:{port}/stream"
        with open_source(address, wait=True) as source:
            frame = next(iter(source))
    assert frame.rgb.shape == (480, 640, 3)


@needs("ffmpeg")
def test_ffmpeg_as_a_camera_that_comes_back() -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/stream"
    command = [
        "ffmpeg", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15", "-t", "2",
        "-f", "mpjpeg", "-listen", "1", address,
    ]  # fmt: skip
    with open_source(address, wait=True) as source:
        frames = iter(source)
        for _ in range(2):
            before = source.reopened
            with running(*command):
                while source.reopened == before:
                    frame = next(frames)
            assert frame.rgb.shape == (240, 320, 3)
