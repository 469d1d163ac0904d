from __future__ import annotations

import functools
import http.server
import socket
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from splitfer.edge_client.sources.address import shown
from splitfer.edge_client.sources.files import Pictures
from splitfer.edge_client.sources.live import FIRST_WAIT_S, LONGEST_WAIT_S, Stream
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.sources.video_decoder import VideoDecoder
from splitfer.shared.errors import SourceError


def write_video(path: Path, count: int = 6, fps: int = 10, format: str | None = None) -> Path:
    """Frame ``i`` is a grey of value ``30 * i``, 64x48."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream("libx264", rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        # One packet a frame, each on its own: a damaged one harms no other.
        stream.options = {"tune": "zerolatency", "g": "1", "crf": "10"}
        for index in range(count):
            grey = np.full((48, 64, 3), 30 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_picture(path: Path, value: int = 128, size: tuple[int, int] = (20, 10)) -> Path:
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def test_one_picture_is_one_frame(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a face.png")
    with open_source(str(path)) as source:
        (frame,) = source
    assert (source.frames_total, source.live) == (1, False)
    assert (frame.source, frame.index, frame.time_s) == (str(path), 0, 0.0)
    assert frame.rgb.shape == (10, 20, 3)
    assert frame.rgb.dtype == np.uint8


def test_a_picture_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png").rename(tmp_path / "upload")
    assert len(list(open_source(str(path)))) == 1


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("b.JPG", 20), ("a.png", 10), ("c.webp", 30)):
        write_picture(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("no picture")
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [Path(frame.source).name for frame in frames] == ["a.png", "b.JPG", "c.webp"]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [round(float(frame.rgb.mean()), -1) for frame in frames] == [10, 20, 30]
    assert source.frames_total == 3


def test_a_damaged_picture_in_a_folder_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    write_picture(tmp_path / "c.png")
    source = open_source(str(tmp_path))
    assert [frame.index for frame in source] == [0, 2]
    assert isinstance(source, Pictures)
    assert source.skipped == 1
    assert "b.png" in caplog.text


def test_a_video_gives_every_frame_at_its_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    with open_source(str(path)) as source:
        assert (source.frames_total, source.fps, source.live) == (6, 10.0, False)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 10 for i in range(6)])
    assert [float(frame.rgb.mean()) for frame in frames] == pytest.approx(
        [30 * i for i in range(6)], abs=6
    )
    assert {frame.source for frame in frames} == {str(path)}


def test_a_video_is_live_when_read_at_its_own_rate(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "clip.mp4")), realtime=True) as source:
        assert (source.live, source.self_paced) == (True, False)


def test_a_closed_source_gives_no_more_frames(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "clip.mp4")))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []


def test_a_damaged_packet_costs_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    start, size = places[2]
    assert start is not None
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    assert [frame.time_s for frame in open_source(str(path))] == pytest.approx(
        [0.0, 0.1, 0.3, 0.4, 0.5]
    )


def test_a_phones_rotation_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    matrix = bytes.fromhex("00010000" + "00" * 12 + "00010000" + "00" * 12 + "40000000")
    quarter = bytes.fromhex(
        "00000000" + "00010000" + "00" * 4 + "ffff0000" + "00" * 4 * 4 + "40000000"
    )
    track = data.index(b"tkhd")
    place = data.index(matrix, track)
    data[place : place + len(matrix)] = quarter
    path.write_bytes(data)
    assert {frame.rgb.shape for frame in open_source(str(path))} == {(64, 48, 3)}


def test_the_bundled_clip_holds_eight_seconds_and_can_be_repeated() -> None:
    once, twice = open_source("demo"), open_source("demo*2")
    assert once.frames_total is not None
    assert once.fps is not None
    assert once.frames_total / once.fps == pytest.approx(8.4)
    assert twice.frames_total == 2 * once.frames_total
    frames = [(frame.index, frame.time_s, frame.rgb.shape) for frame in twice]
    assert len(frames) == twice.frames_total
    assert {shape for _, _, shape in frames} == {(480, 640, 3)}
    steps = np.diff([time_s for _, time_s, _ in frames])
    assert steps == pytest.approx(1 / once.fps)
    twice.close()
    once.close()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere.mp4", ["nowhere.mp4", "no such file", "rtsp://"]),
        ("empty", ["empty", "no picture", "JPEG"]),
        ("nothing.mp4", ["nothing.mp4", "file is empty"]),
        ("text.mp4", ["text.mp4", "FFmpeg"]),
        ("page.txt", ["page.txt", "no picture in it"]),
        ("logo.svg", ["logo.svg", "not decoded here", "JPEG"]),
        ("63", ["/dev/video63", "camera plugged in"]),
        ("ftp://host/a", ["ftp://", "rtsp://"]),
    ],
)
def test_what_cannot_be_opened_is_named_in_one_line(
    spec: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("nothing.mp4").touch()
    Path("text.mp4").write_text("x" * 3)
    Path("page.txt").write_text("hello\n" * 100)
    Path("logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_picture_cut_short_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match=r"a\.png"):
        list(open_source(str(path)))


def test_an_address_that_nobody_serves_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SourceError) as caught:
            open_source(f"rtsp://me:secret@127.0.0.1:{port}/door?token=secret")
    assert f"rtsp://127.0.0.1:{port}/door" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert shown("http://a:b@host:80/x?k=b") == "http://host:80/x"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    serve = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_video_of_known_length_at_an_address_ends(tmp_path: Path, web: str) -> None:
    write_video(tmp_path / "clip.mp4")
    with open_source(f"{web}/clip.mp4") as source:
        assert source.live is False
        assert len(list(source)) == 6


def test_a_stream_that_ends_is_opened_again(tmp_path: Path, web: str) -> None:
    write_video(tmp_path / "live.h264", format="h264")
    with open_source(f"{web}/live.h264") as source:
        assert (source.live, source.self_paced, source.frames_total) == (True, True, None)
        frames = iter(source)
        taken = [next(frames) for _ in range(8)]
    assert [frame.index for frame in taken] == list(range(8))
    assert [frame.time_s for frame in taken] == sorted(frame.time_s for frame in taken)


def test_a_stream_that_stays_away_is_asked_less_and_less_and_can_be_closed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "live.h264", count=2, format="h264")
    away = [SourceError("away")] * 7
    waits: list[float] = []

    def opened() -> VideoDecoder:
        if waits and away:
            raise away.pop()
        return VideoDecoder(str(path), "door")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 8

    source = Stream("door", opened, wait=wait, jitter=lambda: 0.5)
    assert len(list(source)) == 4
    assert waits[:8] == [FIRST_WAIT_S * 2**i for i in range(5)] + [LONGEST_WAIT_S] * 3
    assert waits[8] == FIRST_WAIT_S
    assert source.reopened == 1
