"""Callers share a batcher: none waits behind what another has piled up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context

import pytest

from splitfer.cloud_server.admission.account import Account, work_for
from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.inference.batch_time import BatchTime
from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import Overloaded, OverQuota


class Played:
    """A network that takes 10 ms a face, on a clock of its own; ``runs`` are the names of the
    faces that ran together."""

    def __init__(self, batch_max: int = 4, queue_max: int = 100) -> None:
        self.now, self.runs = 0.0, list[list[str]]()
        self.times = BatchTime(lambda: self.now)
        for size in (1, 2, 4, 8):
            self.times.learn(size, 0.01 * size)
        self.batcher: Batcher[str, str] = Batcher(
            self.run,
            batch_max=batch_max,
            queue_max=queue_max,
            times=self.times,
            clock=lambda: self.now,
        )
        self.came: list[asyncio.Future[str]] = []

    async def run(self, names: list[str]) -> Sequence[str]:
        self.runs.append(names)
        self.now += 0.01 * len(names)
        return names

    def ask(self, owner: Account, *names: str, within_s: float = 10.0) -> list[asyncio.Future[str]]:
        def submit() -> list[asyncio.Future[str]]:
            work_for(owner)
            return [
                self.batcher.submit(name, Deadline(self.now + within_s + place * 1e-6))
                for place, name in enumerate(names)
            ]

        futures = copy_context().run(submit)
        self.came += futures
        return futures

    async def all_answered(self) -> None:
        self.batcher.start()
        await asyncio.gather(*self.came, return_exceptions=True)
        await self.batcher.close()


def account(name: str, **limits: float) -> Account:
    return Account(name, RateLimiter(CallerLimits(**limits)))


HOSTILE, HONEST, OTHER = account("hostile"), account("honest"), account("other")
MANY = [f"x{number}" for number in range(12)]


async def test_one_face_waits_for_no_more_than_a_turn() -> None:
    played = Played()
    played.ask(HOSTILE, *MANY, within_s=1.0)  # and more urgent
    played.ask(HONEST, "a")
    await played.all_answered()
    assert played.runs[0] in (["x0", "a"], ["a"])


async def test_one_who_comes_later_comes_next_and_alone() -> None:
    played = Played()
    played.ask(HOSTILE, *MANY)
    played.batcher.start()
    for _ in range(3):
        await asyncio.sleep(0)
    assert played.runs
    before = len(played.runs)
    played.ask(HONEST, "a")
    await played.all_answered()
    # A run may have been chosen already.
    assert ["a"] in played.runs[before : before + 2]


async def test_two_who_pile_up_share_full_batches() -> None:
    played = Played()
    played.ask(HOSTILE, *MANY)
    played.ask(OTHER, *[f"y{number}" for number in range(12)])
    await played.all_answered()
    for names in played.runs:
        assert sorted(name[0] for name in names) == ["x", "x", "y", "y"]


async def test_those_with_one_face_each_share_a_batch() -> None:
    played = Played()
    for number in range(4):
        played.ask(account(f"device{number}"), f"a{number}")
    await played.all_answered()
    assert played.runs == [["a0", "a1", "a2", "a3"]]


async def test_a_full_queue_gives_way_to_who_has_less() -> None:
    played = Played(queue_max=4)
    hostile = played.ask(HOSTILE, *MANY[:4])
    with pytest.raises(Overloaded):
        played.ask(HOSTILE, "x5")
    honest = played.ask(HONEST, "a", "b")
    with pytest.raises(Overloaded):
        played.ask(HONEST, "c")  # two each: no more is owed
    await played.all_answered()
    assert [future.exception() is None for future in hostile] == [True, True, False, False]
    assert [future.result() for future in honest] == ["a", "b"]


async def test_faces_that_can_wait_are_not_overtaken_for_ever() -> None:
    played = Played(batch_max=1)
    (patient,) = played.ask(HONEST, "patient", within_s=30.0)
    played.batcher.start()
    for number in range(100):
        played.ask(HONEST, f"urgent{number}", within_s=0.2)
        await asyncio.sleep(0)
        played.now += 0.01
        if patient.done():
            break
    assert patient.done()
    await played.all_answered()


async def test_runs_are_charged_to_who_asked() -> None:
    played = Played()
    busy = account("busy", busy_share=0.01)
    played.ask(busy, *MANY[:4])
    played.ask(HONEST, "a")
    await played.all_answered()
    allowance = RateLimiter(CallerLimits(busy_share=0.01))
    allowance.enter()
    allowance.charge_busy(0.04)
    with pytest.raises(OverQuota, match=r"0\.01 seconds of work"):
        allowance.enter()
    with pytest.raises(OverQuota):
        busy._allowance.enter()
