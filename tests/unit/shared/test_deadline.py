from __future__ import annotations

import time

import pytest

from splitfer.shared.deadline import Deadline


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_remains_shrinks_and_turns_negative() -> None:
    clock = Clock()
    deadline = Deadline.after_ms(150, clock)
    assert deadline.remaining_ms(clock) == pytest.approx(150)
    assert not deadline.expired(clock)
    clock.now_s += 0.25
    assert deadline.remaining_ms(clock) == pytest.approx(-100)
    assert deadline.expired(clock)


def test_nothing_left_is_expired() -> None:
    clock = Clock()
    assert Deadline.after_ms(0, clock).expired(clock)


def test_deadlines_are_ordered_by_instant() -> None:
    clock = Clock()
    assert Deadline.after_ms(1, clock) < Deadline.after_ms(2, clock)


def test_the_default_clock_is_the_monotonic_one() -> None:
    before_s = time.monotonic()
    deadline = Deadline.after_ms(1000)
    assert before_s + 1 <= deadline.at_s <= time.monotonic() + 1
    assert 0 < deadline.remaining_ms() <= 1000
