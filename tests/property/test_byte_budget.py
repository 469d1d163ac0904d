"""Any takes and returns of several callers: never more than there is, and room for the next one."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held, StandingPart
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, NotReady, Overloaded, PayloadTooLarge

MOST = 100
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 60)), max_size=60)


@given(STEPS)
def test_what_is_held_is_bounded_and_shared(steps: list[tuple[str, int]]) -> None:
    budget = ByteBudget(MOST)
    held: dict[str, list[int]] = {owner: [] for owner in "abc"}
    for owner, size in steps:
        if size < 0:
            if held[owner]:
                budget.give_back(owner, held[owner].pop())
            continue
        mine, left = sum(held[owner]), MOST - sum(map(sum, held.values()))
        fits = size <= left and (not mine or mine + size <= left)
        if fits:
            budget.take(owner, size)
            held[owner].append(size)
        else:
            with pytest.raises(Overloaded):
                budget.take(owner, size)
        assert budget.held_bytes == sum(map(sum, held.values())) <= MOST


def test_one_who_takes_all_that_it_can_leaves_half() -> None:
    budget = ByteBudget(MOST)
    for _ in range(MOST // 2):
        budget.take("hostile", 1)
    with pytest.raises(Overloaded):
        budget.take("hostile", 1)
    budget.take("honest", MOST // 2)


def test_a_wait_ends_when_there_is_room_or_no_time() -> None:
    budget = ByteBudget(MOST)
    budget.wait_for("a", MOST, Deadline.after_ms(0))
    with pytest.raises(DeadlineExceeded):
        budget.wait_for("b", 1, Deadline.after_ms(1))
    with pytest.raises(PayloadTooLarge, match="in_flight_bytes"):
        budget.wait_for("b", MOST + 1, Deadline.after_ms(1))
    waiting = threading.Thread(target=budget.wait_for, args=("b", MOST, Deadline.after_ms(60_000)))
    waiting.start()
    budget.give_back("a", MOST)
    waiting.join(60)
    assert budget.held_bytes == MOST


def test_a_stop_ends_the_wait() -> None:
    budget = ByteBudget(MOST)
    budget.take("a", MOST)
    ended: list[Exception] = []

    def wait() -> None:
        try:
            budget.wait_for("b", 1, Deadline.after_ms(60_000))
        except NotReady as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    budget.close()
    waiting.join(60)
    assert len(ended) == 1


@given(STEPS, st.integers(1, MOST))
def test_what_stands_is_a_part_of_the_whole(steps: list[tuple[str, int]], part_bytes: int) -> None:
    whole = ByteBudget(MOST)
    part = StandingPart(whole, part_bytes)
    held = {owner: Held(part, owner) for owner in "abc"}
    for owner, size in steps:
        before = held[owner].size
        try:
            held[owner].become(max(0, size))
        except Overloaded:
            assert held[owner].size == before
        assert part.held_bytes == whole.held_bytes == sum(one.size for one in held.values())
        assert part.held_bytes <= part_bytes
        whole.take("d", MOST - part_bytes)  # of who comes, whatever stands
        whole.give_back("d", MOST - part_bytes)
    for one in held.values():
        one.leave()
    assert part.held_bytes == whole.held_bytes == 0
