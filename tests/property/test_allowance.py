"""Any sequence of requests, ends, silences and changed limits, on a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.errors import Overloaded

LIMITS = st.builds(
    CallerLimits,
    requests_per_s=st.none() | st.floats(0.1, 1000),
    burst=st.none() | st.integers(1, 50),
    concurrent=st.none() | st.integers(1, 5),
)
# A silence in seconds, a request, or the end of one.
STEPS = st.lists(st.floats(0, 10) | st.sampled_from(["ask", "ask", "end"]), max_size=60)


class Caller:
    """An allowance, the clock it reads, and what the caller did."""

    def __init__(self, limits: CallerLimits) -> None:
        self.now_s = 0.0
        self.allowance = RateLimiter(limits, lambda: self.now_s)
        self.in_flight = 0
        self.let_in_s: list[float] = []

    def ask(self) -> float | None:
        """How long to wait; None where it was let in."""
        try:
            self.allowance.enter()
        except Overloaded as refused:
            return refused.retry_after_s
        self.in_flight += 1
        self.let_in_s.append(self.now_s)
        return None

    def step(self, step: float | str) -> None:
        if step == "ask":
            self.ask()
        elif step != "end":
            self.now_s += float(step)
        elif self.in_flight:
            self.in_flight -= 1
            self.allowance.leave()


@given(LIMITS, STEPS)
def test_no_more_than_the_limits_and_no_less(
    limits: CallerLimits, steps: list[float | str]
) -> None:
    caller = Caller(limits)
    for step in steps:
        before = caller.in_flight
        asked = len(caller.let_in_s)
        caller.step(step)
        if limits.concurrent is not None:
            assert caller.in_flight <= limits.concurrent
        refused = step == "ask" and len(caller.let_in_s) == asked
        if refused and (limits.concurrent is None or before < limits.concurrent):
            assert limits.requests_per_s is not None  # refused for its rate
    if limits.requests_per_s is None:
        return
    # In every stretch of time: what was saved up, and what the rate allows.
    for first in range(len(caller.let_in_s)):
        for last in range(first, len(caller.let_in_s)):
            stretch_s = caller.let_in_s[last] - caller.let_in_s[first]
            most = limits.most_at_once + stretch_s * limits.requests_per_s
            assert last - first + 1 <= most + 1e-6


@given(LIMITS, STEPS)
def test_who_waits_as_told_is_let_in(limits: CallerLimits, steps: list[float | str]) -> None:
    caller = Caller(limits)
    for step in steps:
        caller.step(step)
    while caller.in_flight:
        caller.step("end")
    wait_s = caller.ask()
    if wait_s is not None:
        assert wait_s > 0
        caller.now_s += wait_s + 1e-6
        assert caller.ask() is None


@given(LIMITS, LIMITS, STEPS, st.integers(0, 30))
def test_limits_change_under_requests_in_flight(
    before: CallerLimits, after: CallerLimits, steps: list[float | str], change_at: int
) -> None:
    caller = Caller(before)
    for step in steps[:change_at]:
        caller.step(step)
    caller.allowance.change(after)
    caller.let_in_s.clear()
    for step in steps[change_at:]:
        was = caller.in_flight
        caller.step(step)
        if after.concurrent is not None:
            assert caller.in_flight <= max(after.concurrent, was)
    if after.requests_per_s is not None and caller.let_in_s:
        stretch_s = caller.let_in_s[-1] - caller.let_in_s[0]
        most = after.most_at_once + stretch_s * after.requests_per_s
        assert len(caller.let_in_s) <= most + 1e-6
    # All that went in may come out, and then a rested caller is as good as new.
    while caller.in_flight:
        caller.step("end")
    caller.now_s += 1000
    assert caller.ask() is None


@given(LIMITS)
def test_a_refusal_costs_the_caller_nothing(limits: CallerLimits) -> None:
    caller = Caller(limits.model_copy(update={"requests_per_s": 1.0, "burst": 2}))
    caller.in_flight = 0
    while caller.ask() is None:
        caller.step("end")
    first = caller.ask()
    assert [caller.ask() for _ in range(5)] == [first] * 5


def test_a_request_gives_its_place_back_when_it_fails() -> None:
    allowance = RateLimiter(CallerLimits(concurrent=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), allowance.request():
            raise ZeroDivisionError
    with allowance.request(), pytest.raises(Overloaded, match="in flight already"):
        allowance.enter()


@given(
    st.floats(0.5, 100),
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 64)), min_size=1, max_size=40),
)
def test_faces_are_paid_for_by_time(faces_per_s: float, steps: list[tuple[float, int]]) -> None:
    """Silences, each before a frame of some faces: what was let in is what time has paid for, and
    one second's worth, and one frame that is still owed for."""
    caller = Caller(CallerLimits(faces_per_s=faces_per_s))
    taken = largest = 0
    for silence_s, faces in steps:
        caller.now_s += silence_s
        wait_s = caller.ask()
        if wait_s is None:
            caller.allowance.charge_faces(faces)
            taken, largest = taken + faces, max(largest, faces)
        else:
            caller.now_s += wait_s * (1 + 1e-6) + 1e-9  # as it was told
            assert caller.ask() is None
        assert taken <= faces_per_s * (caller.now_s + 1) * (1 + 1e-6) + largest


def test_what_keeps_workers_busy_is_bounded_too() -> None:
    caller = Caller(CallerLimits(busy_share=0.5))
    assert caller.ask() is None
    caller.allowance.charge_busy(2.5)
    assert caller.ask() == pytest.approx(4.0)  # 0.5 s were there
    caller.allowance.change(CallerLimits())
    assert caller.ask() is None
