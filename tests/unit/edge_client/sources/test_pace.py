"""At most so many pictures a second."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.sources.pace import Pace
from tests.unit.edge_client.sources.test_open import write_video


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.5, 30))
def test_never_more_than_that_nor_two_at_once(steps_s: list[float], most_fps: float) -> None:
    times_s = list(accumulate(steps_s))
    pace = Pace(most_fps)
    taken = [time_s for time_s in times_s if pace.takes(time_s)]
    for first in range(len(taken)):
        for last in range(first + 1, len(taken)):
            # One more than fit between, where a picture came late for its turn.
            assert last - first <= (taken[last] - taken[first]) * most_fps + 1 + 1e-6


@given(st.floats(1, 60), st.floats(0.5, 60))
def test_of_an_even_stream_that_many(fps: float, most_fps: float) -> None:
    pace = Pace(most_fps)
    seconds = 20
    taken = sum(pace.takes(index / fps) for index in range(int(seconds * fps)))
    assert abs(taken - min(fps, most_fps) * seconds) <= 2


def test_without_a_bound_all_are_taken() -> None:
    pace = Pace(None)
    assert all(pace.takes(0.0) for _ in range(5))


@pytest.mark.parametrize("realtime", [False, True])
def test_a_video_is_thinned_by_its_own_times(tmp_path: Path, realtime: bool) -> None:
    path = write_video(tmp_path / "clip.mp4")
    with open_source(str(path), realtime) as source:
        every = [frame.time_s for frame in source]
    with open_source(str(path), realtime, max_fps=source.fps / 2 if source.fps else None) as source:
        frames = list(source)
        assert source.frames_total == len(frames)
    assert [frame.time_s for frame in frames] == every[::2]
    assert [frame.index for frame in frames] == list(range(len(frames)))
