from __future__ import annotations

import errno
from pathlib import Path

import av
import pytest

from edge_client.sinks.video import AnnotatedVideo
from shared.contracts import Path as AnswerPath
from shared.contracts import Reason
from shared.errors import ConfigError

from .answers import face, frame


def write(path: Path, times_s: list[float], size: tuple[int, int] = (161, 121)) -> None:
    video = AnnotatedVideo(path, fps=20.0)
    for index, time_s in enumerate(times_s):
        video.write(frame(index, time_s=time_s, size=size), [face()])
    video.close()


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, [i / 20 for i in range(10)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.width % 2 == context.height % 2 == 0
        assert len(list(container.decode(video=0))) == 10
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_dropped_frames_leave_a_gap_in_time(tmp_path: Path) -> None:
    times_s = [0.0, 0.05, 0.35, 0.4, 2.0]
    write(tmp_path / "out.mp4", times_s)
    with av.open(str(tmp_path / "out.mp4")) as container:
        got = [picture.time for picture in container.decode(video=0)]
    assert got == pytest.approx(times_s, abs=0.001)


def test_frames_at_one_instant_or_backwards_do_not_stop_it(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", [0.0, 0.0, 0.2, 0.1])
    with av.open(str(tmp_path / "out.mp4")) as container:
        got = [picture.time for picture in container.decode(video=0)]
    assert got == sorted(set(got))
    assert len(got) == 4


def test_the_answers_are_in_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video = AnnotatedVideo(path, fps=None)
    video.write(frame(0, size=(320, 240)), [])
    big = (120, 80, 80, 80)
    video.write(frame(1, size=(320, 240)), [face(AnswerPath.LOCAL, Reason.DEADLINE, big)])
    video.close()
    with av.open(str(path)) as container:
        empty, faced = (p.to_ndarray(format="rgb24") for p in container.decode(video=0))
    assert empty[100, 100:220].std() < 5
    assert faced[100, 100:220].std() > 10


def test_pictures_of_several_sizes_share_one_video(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "out.mp4", fps=1.0)
    for index, size in enumerate(((160, 120), (33, 400), (400, 33))):
        video.write(frame(index, size=size), [face()])
    video.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len({(p.width, p.height) for p in container.decode(video=0)}) == 1


def test_a_run_without_frames_leaves_no_broken_file(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "out.mp4", fps=25.0)
    video.close()
    video.close()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--annotate .*out\.mp4"):
        AnnotatedVideo(tmp_path / "nowhere" / "out.mp4", fps=25.0)


def test_a_full_disk_ends_the_video_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    video = AnnotatedVideo(tmp_path / "out.mp4", fps=25.0)
    video.write(frame(0), [face()])

    class Full:
        def mux(self, _: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(video, "_container", Full())
    for index in range(1, 4):
        video.write(frame(index), [face()])
    video.close()
    assert caplog.text.count("No space left on device") == 1
