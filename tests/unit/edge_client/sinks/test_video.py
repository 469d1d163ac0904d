from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import pytest

from splitfer.edge_client.sinks.video import AnnotatedVideo
from splitfer.shared.contracts import AnswerPath, Reason
from splitfer.shared.errors import ConfigError
from tests.unit.edge_client.answers import face, frame


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
        # A plain file once it is finished, in which players find their way and the length.
        assert stream.frames == 10
        assert container.duration == pytest.approx(500_000, abs=60_000)


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


@pytest.mark.parametrize("name", ["out.avi", "out.webm", "out"])
def test_an_ending_without_a_format_is_refused_with_the_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"--annotate .*\.mp4, \.mov, \.mkv"):
        AnnotatedVideo(tmp_path / name, fps=25.0)


@pytest.mark.parametrize(
    ("name", "kind"), [("out.MP4", b"mp41"), ("out.mov", b"qt  "), ("out.mkv", b"matroska")]
)
def test_the_ending_says_the_format(tmp_path: Path, name: str, kind: bytes) -> None:
    write(tmp_path / name, [i / 20 for i in range(10)])
    assert kind in (tmp_path / name).read_bytes()[:100]
    with av.open(str(tmp_path / name)) as container:
        assert len(list(container.decode(video=0))) == 10


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
@pytest.mark.parametrize("step_s", [0.05, 3.0])
def test_after_each_frame_it_plays_or_is_not_there(
    tmp_path: Path, name: str, step_s: float
) -> None:
    path = tmp_path / name
    video = AnnotatedVideo(path, fps=20.0)
    counts = []
    for index in range(60):
        video.write(frame(index, time_s=index * step_s, size=(64, 48)), [face()])
        if not path.exists():
            counts.append(0)
            continue
        with av.open(str(path)) as container:
            counts.append(len(list(container.decode(video=0))))
        assert counts[-1] > 0
    video.close()
    behind = [index + 1 - count for index, count in enumerate(counts)]
    assert max(behind) <= 1 + max(1, 2 / step_s)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_that_somebody_else_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video = AnnotatedVideo(path, fps=1.0)
    video.write(frame(0), [face()])
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        video.write(frame(1, time_s=1.0), [face()])
    video.close()
    assert path.read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_older_one_is_replaced_only_when_there_is_something_to_replace_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    AnnotatedVideo(path, fps=1.0, replace=True).close()
    assert path.read_bytes() == b"older"
    video = AnnotatedVideo(path, fps=1.0, replace=True)
    video.write(frame(0), [face()])
    assert path.read_bytes() == b"older"
    video.close()
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 1


def test_a_full_disk_ends_the_video_and_what_is_there_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"
    video = AnnotatedVideo(path, fps=2.0)
    real, room = os.pwrite, [20_000]

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[: room[0]], offset)
        room[0] -= written
        return written

    monkeypatch.setattr("os.pwrite", pwrite)
    written = 0
    with pytest.raises(OSError, match="No space left on device"):  # noqa: PT012
        for written in range(1000):
            video.write(frame(written, time_s=written / 2), [face()])
    room[0] = 10_000
    with pytest.raises(OSError, match="No space left on device"):
        video.write(frame(written + 1, time_s=1000.0), [face()])
    video.close()
    with av.open(str(path)) as container:
        assert written - 6 < len(list(container.decode(video=0))) <= written
