from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.fit.budget import scaled_epochs, step_seconds

stages = st.lists(st.tuples(st.integers(1, 100), st.floats(0.01, 1e4)), min_size=1, max_size=5)


@given(stages=stages, minutes=st.floats(0.01, 1e4))
def test_epochs_fit_into_the_time_or_are_one_each(
    stages: list[tuple[int, float]], minutes: float
) -> None:
    planned, epoch_s = zip(*stages, strict=True)
    found = scaled_epochs(planned, epoch_s, minutes)
    assert all(1 <= n <= most for n, most in zip(found, planned, strict=True))
    took_s = sum(n * each for n, each in zip(found, epoch_s, strict=True) if n > 1)
    assert took_s <= minutes * 60
    if sum(n * each for n, each in stages) * 1.2 < minutes * 60:
        assert found == list(planned)


def test_a_step_is_timed_after_the_first_ones() -> None:
    times = itertools.count()
    assert step_seconds(lambda: None, lambda: next(times) * 16.0) == pytest.approx(2.0)
