from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.sources.timeline import Timeline


def times(stamps: list[float | None], fps: float | None = 10.0) -> list[float]:
    timeline = Timeline(fps)
    return [timeline.at(stamp) for stamp in stamps]


def test_a_recordings_own_times_are_kept() -> None:
    assert times([7.0, 7.1, 7.25, 9.0]) == pytest.approx([0, 0.1, 0.25, 2.0])


def test_joined_recordings_follow_one_another() -> None:
    one = [i / 10 for i in range(5)]
    assert times(one * 3) == pytest.approx([i / 10 for i in range(15)])


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_was_set_costs_no_hour(jump_s: float) -> None:
    stamps = [100_000 + i / 10 + (jump_s if i >= 5 else 0) for i in range(10)]
    assert times(stamps) == pytest.approx([i / 10 for i in range(10)])


def test_a_time_lapse_and_a_pause_are_no_jumps() -> None:
    assert times([0, 60, 120, 300], fps=1 / 60) == [0, 60, 120, 300]
    assert times([0, 60, 120], fps=None) == [0, 60, 120]
    assert times([0, 0.1, 8.0]) == pytest.approx([0, 0.1, 8.0])


def test_pictures_without_stamps_and_neighbours_that_changed_places() -> None:
    assert times([None, None, None]) == pytest.approx([0, 0.1, 0.2])
    assert times([0, 0.2, 0.1, 0.3]) == pytest.approx([0, 0.2, 0.2, 0.3])


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=40), st.none() | st.floats(0.01, 240))
def test_time_never_falls(stamps: list[float | None], fps: float | None) -> None:
    came = times(stamps, fps)
    assert came == sorted(came)
