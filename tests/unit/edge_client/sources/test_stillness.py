"""A camera's picture that does not change."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.sources.stillness import Seen, Stillness

ONE, OTHER = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
OTHER[47, 63, 2] = 1


def test_a_picture_that_stands_still_froze_and_is_held_back_until_one_differs() -> None:
    stillness = Stillness(10)
    seen = [stillness.judge(ONE.copy(), at) for at in (0, 5, 9.9, 10, 11, 20, 21)]
    assert seen[:3] == [Seen.MOVING] * 3
    assert seen[3:] == [Seen.FROZE, Seen.STILL_FROZEN, Seen.FROZE, Seen.STILL_FROZEN]
    assert stillness.judge(OTHER, 22) is Seen.MOVING
    assert stillness.judge(OTHER, 23) is Seen.MOVING


def test_another_shape_is_another_picture() -> None:
    stillness = Stillness(1)
    assert stillness.judge(ONE, 0) is Seen.MOVING
    assert stillness.judge(ONE[:24], 5) is Seen.MOVING


def test_zero_never_says_so() -> None:
    stillness = Stillness(0)
    assert {stillness.judge(ONE, at) for at in range(1000)} == {Seen.MOVING}


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 3)), max_size=60))
def test_it_froze_only_after_as_long_without_a_change(steps: list[tuple[bool, float]]) -> None:
    stillness, now_s, changed_s, last = Stillness(5), 0.0, None, None
    for other, step_s in steps:
        now_s += step_s
        if other is not last:
            last, changed_s = other, now_s
        seen = stillness.judge(OTHER if other else ONE, now_s)
        assert changed_s is not None
        if now_s - changed_s < 5:
            assert seen is Seen.MOVING
        else:
            assert seen is not Seen.MOVING
