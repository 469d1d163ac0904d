from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.bootstrap import difference, draw_counts, interval


def test_the_interval_is_that_of_drawing_faces() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random(300) < 0.7, rng.random(300) < 0.6
    found = difference(ours, theirs)
    assert found["difference"] == pytest.approx(ours.mean() - theirs.mean(), abs=1e-6)
    # The slow way: draw faces, and take both figures of each draw.
    drawn = rng.integers(0, 300, (4000, 300))
    literal = interval(ours[drawn].mean(axis=1) - theirs[drawn].mean(axis=1))
    np.testing.assert_allclose(found["interval_95"], literal, atol=0.01)


def test_it_is_paired() -> None:
    right = np.arange(1000) % 3 == 0
    other = right.copy()
    other[:2] ^= True
    low, high = difference(right, other)["interval_95"]
    assert -0.005 < low < high < 0.005


def test_the_same_faces_give_the_same_interval() -> None:
    right, other = np.arange(50) % 2 == 0, np.arange(50) % 3 == 0
    assert difference(right, other) == difference(right, other)


def test_every_draw_has_as_many_faces() -> None:
    blocks = list(draw_counts(7, 600))
    counts = np.concatenate(blocks)
    assert counts.shape == (600, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert len({tuple(row) for row in counts}) > 300
