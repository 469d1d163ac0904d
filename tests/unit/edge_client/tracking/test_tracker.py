from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.tracking.tracker import Tracker
from splitfer.shared.contracts import Box

FPS = 10.0
boxes = st.builds(
    Box, st.integers(-50, 700), st.integers(-50, 500), st.integers(1, 300), st.integers(1, 300)
)
clips = st.lists(st.tuples(st.floats(0, 3), st.lists(boxes, max_size=6, unique=True)), max_size=12)


@given(clip=clips)
def test_every_box_has_one_number_and_numbers_are_never_given_twice(
    clip: list[tuple[float, list[Box]]],
) -> None:
    tracker, time_s = Tracker(lost_s=1.0), 0.0
    gone: set[int] = set()
    for passed_s, found in clip:
        time_s += passed_s
        numbers, left = tracker.follow(time_s, found)
        assert len(numbers) == len(found) == len(set(numbers))
        gone |= set(left)
        assert not gone & set(numbers)
        assert set(numbers) <= set(tracker.tracks)
        assert not gone & set(tracker.tracks)


def at(x: float, y: float, side: int = 100) -> Box:
    return Box(round(x - side / 2), round(y - side / 2), side, side)


def test_two_people_who_cross_keep_their_numbers() -> None:
    tracker = Tracker(lost_s=1.0)
    for step in range(41):
        left_to_right, right_to_left = at(100 + 10 * step, 200), at(500 - 10 * step, 215)
        # While one hides the other, only the one in front is found.
        hidden = abs(left_to_right.x - right_to_left.x) < 30
        found = [left_to_right] if hidden else [right_to_left, left_to_right]
        numbers, left = tracker.follow(step / FPS, found)
        assert not left
        if not step:
            first = numbers
    assert numbers == first
    assert set(numbers) == {1, 2}


def test_one_who_comes_back_soon_is_the_same_and_later_another() -> None:
    tracker = Tracker(lost_s=1.0)
    assert tracker.follow(0.0, [at(100, 100)]) == ([1], [])
    assert tracker.follow(0.5, []) == ([], [])
    assert tracker.follow(0.9, [at(105, 100)]) == ([1], [])
    assert tracker.follow(2.5, [at(105, 100)]) == ([2], [1])


def test_a_much_larger_face_in_the_same_place_is_another() -> None:
    tracker = Tracker(lost_s=1.0)
    tracker.follow(0.0, [at(100, 100, 60)])
    assert tracker.follow(0.1, [at(100, 100, 150)]) == ([2], [])


@pytest.mark.parametrize("shake_px", [0, 8])
def test_a_face_that_shakes_and_walks_is_one(shake_px: int) -> None:
    tracker = Tracker(lost_s=1.0)
    for step in range(100):
        shaken = shake_px * math.sin(2.1 * step)
        numbers, _ = tracker.follow(step / FPS, [at(80 + 4 * step + shaken, 100 + shaken)])
        assert numbers == [1]
