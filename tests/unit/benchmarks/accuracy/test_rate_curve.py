from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.accuracy.rate_curve import Point, bytes_ratios, compare, hull

Pairs = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=12)


@given(Pairs)
def test_the_hull_is_what_no_point_betters(pairs: list[tuple[int, int]]) -> None:
    sent, accuracy = np.array(pairs, float).T
    places = hull(sent, accuracy)
    assert (np.diff(sent[places]) > 0).all()
    assert (np.diff(accuracy[places]) > 0).all()
    for s, a in zip(sent, accuracy, strict=True):
        assert any(sent[p] <= s and accuracy[p] >= a for p in places)


def curve(*points: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sent, accuracy = np.array(points).T
    return sent, accuracy


def test_bytes_at_equal_accuracy() -> None:
    found = bytes_ratios(curve((100, 0.6), (400, 0.7)), curve((200, 0.5), (800, 0.7)))
    assert found is not None
    at, own, other = found
    assert (at[0], at[-1]) == (0.6, 0.7)
    assert own[[0, -1]] == pytest.approx([100, 400])
    assert other[[0, -1]] == pytest.approx([400, 800])  # 0.6 is halfway, in logarithms


def test_one_point_is_a_curve_of_one_accuracy() -> None:
    found = bytes_ratios(curve((100, 0.6)), curve((200, 0.5), (800, 0.7)))
    assert found is not None
    assert (found[1] / found[2]).max() == pytest.approx(0.25)


def test_curves_with_no_accuracy_in_common() -> None:
    assert bytes_ratios(curve((100, 0.6)), curve((200, 0.4), (300, 0.5))) is None


def point(kind: str, right: int, size: int, n: int = 400) -> Point:
    order = np.random.default_rng(right).permutation(n)
    return Point(kind, kind, order < right, np.full(n, size))


def test_the_ratio_and_its_interval() -> None:
    ours = [point("rate", 240, 100), point("rate", 280, 400)]
    theirs = [point("jpeg", 200, 200), point("jpeg", 280, 800)]
    found = compare(ours, theirs)
    assert found["accuracies"] == [0.6, 0.7]
    assert found["ratio_worst"] == pytest.approx(0.5)
    low, high = found["ratio_mean_interval_95"]
    assert low < found["ratio_mean"] < high
    assert 0 <= found["draws_without"] < 0.2


def test_a_codec_that_never_gets_there_is_told() -> None:
    found = compare([point("rate", 390, 100)], [point("jpeg", 100, 200), point("jpeg", 150, 900)])
    assert found["ratio_worst"] is None
    assert found["best_accuracy"] == 0.375
    assert found["draws_without"] == 1
