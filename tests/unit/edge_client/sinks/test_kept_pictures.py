from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.sinks.kept_pictures import (
    LIST,
    LONGEST_SEGMENT_S,
    LOOK_EVERY_S,
    KeptPictures,
    PurgeThread,
    Segments,
    segment_s,
)
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from tests.processes import wait_until
from tests.unit.edge_client.answers import frame
from tests.unit.edge_client.sinks.test_heartbeat import Clock


class Lines:
    """A sink of one file, there from the first frame on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        with self._path.open("a") as file:
            file.write(f"{frame.wall_s}\n")

    def close(self) -> None:
        pass


def oldest_s(folder: Path) -> float:
    times = [float(line) for file in folder.iterdir() for line in file.read_text().split()]
    return min(times, default=float("inf"))


@pytest.mark.parametrize("keep_s", [100.0, 3600.0, 24 * 3600.0])
def test_no_picture_is_older_than_was_said_however_it_ran(tmp_path: Path, keep_s: float) -> None:
    clock = Clock()
    kept, folder = KeptPictures(tmp_path, clock), tmp_path / "pictures"
    folder.mkdir()
    parts = Segments(folder / "door.mp4", Lines, kept, keep_s, clock, clock)
    most = 0
    for second in range(300):
        if not 100 < second < 200:  # the camera is away
            parts.write(replace(frame(second), wall_s=clock.now_s), [])
        parts.idle()
        clock.now_s += keep_s / 100
        kept.purge()
        assert clock.now_s - oldest_s(folder) <= keep_s
        most = max(most, len(list(folder.iterdir())))
    assert 8 <= most <= 30
    parts.close()
    clock.now_s += keep_s
    kept.purge()
    assert not list(folder.iterdir())
    assert json.loads((tmp_path / LIST).read_text()) == {}


@given(st.floats(36, 366 * 24 * 3600))
def test_a_part_is_a_tenth_of_the_time_and_an_hour_at_most(keep_s: float) -> None:
    assert 0 < segment_s(keep_s) <= min(LONGEST_SEGMENT_S, keep_s / 10)


def test_what_a_killed_run_left_goes_and_what_is_the_owners_stays(tmp_path: Path) -> None:
    clock = Clock()
    mine, left, moved = tmp_path / "mine.mp4", tmp_path / "left.mp4", tmp_path / "moved.mp4"
    before = KeptPictures(tmp_path, clock)
    for path in (left, moved):
        before.add(path, clock.now_s + 50)
        path.touch()
    draft = tmp_path / ".left.mp4.0a1b2c3d.part"
    draft.touch()
    mine.touch()
    moved.rename(tmp_path / "renamed.mp4")
    clock.now_s += 50
    with closing(PurgeThread(KeptPictures(tmp_path, clock), 0.01)):
        assert not left.exists()
        assert not draft.exists()
    assert mine.exists()
    assert (tmp_path / "renamed.mp4").exists()


def test_a_thread_removes_while_no_frame_comes(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "a.mp4"
    kept = KeptPictures(tmp_path, clock)
    with closing(PurgeThread(kept, 0.01)):
        kept.add(path, clock.now_s + 100)
        path.touch()
        clock.now_s += 100 - LOOK_EVERY_S
        wait_until(lambda: not path.exists(), "the picture to go")


def test_what_cannot_be_removed_is_said_and_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    kept, folder = KeptPictures(tmp_path, clock), tmp_path / "a.mp4"
    kept.add(folder, clock.now_s)
    (folder / "inside").mkdir(parents=True)
    kept.purge()
    assert "a.mp4 is to be removed" in (kept.fault or "")
    (folder / "inside").rmdir()
    folder.rmdir()
    folder.touch()
    kept.purge()
    assert kept.fault is None
    assert not folder.exists()


def test_what_cannot_be_noted_is_not_written(tmp_path: Path) -> None:
    (tmp_path / LIST).write_text("{")
    kept = KeptPictures(tmp_path, Clock())
    folder = tmp_path / "pictures"
    folder.mkdir()
    parts = Segments(folder / "door.mp4", Lines, kept, 3600, Clock(), Clock())
    with pytest.raises(OSError, match="damaged"):
        parts.write(frame(0), [])
    assert not list(folder.iterdir())
    kept.purge()
    assert "damaged" in (kept.fault or "")


def test_two_parts_of_one_second_have_two_names(tmp_path: Path) -> None:
    clock = Clock()
    kept = KeptPictures(tmp_path / "state", clock)
    for _ in range(3):
        parts = Segments(tmp_path / "door.mp4", Lines, kept, 3600, clock, clock)
        parts.write(frame(0), [])
        parts.close()
    assert len(list(tmp_path.glob("door-*.mp4"))) == 3
