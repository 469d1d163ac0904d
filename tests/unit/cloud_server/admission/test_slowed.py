"""Who sends large messages that are no good waits before the next ones are read."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from splitfer.cloud_server.admission.slowed import LARGE_BYTES, SlowedCallers
from splitfer.shared.errors import Overloaded

MESSAGE_BYTES = 6 * 2**20
PATIENCE_S = 60
READING_S = 0.002 * 6


class Played:
    """A clock, and sleeps that are played on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


async def test_reading_what_is_refused_takes_a_tenth_of_the_loop(clock: Played) -> None:
    slowed, started_s = SlowedCallers(clock), clock.now_s
    for _ in range(50):
        await slowed.wait("a")
        clock.now_s += READING_S
        slowed.refused("a", MESSAGE_BYTES)
    took_s = clock.now_s - started_s
    assert took_s > 50 * READING_S / 0.15


async def test_bodies_of_many_small_payloads_are_large(clock: Played) -> None:
    slowed, started_s = SlowedCallers(clock), clock.now_s
    for _ in range(50):
        await slowed.wait("a")
        slowed.refused("a", 2 * 131_000)
    assert clock.now_s - started_s > 49 * 0.019


async def test_of_those_that_wait_together_few_come_before_the_first_is_judged() -> None:
    slowed, came = SlowedCallers(), list[float]()

    async def send() -> None:
        await slowed.wait("a")
        came.append(time.monotonic())
        slowed.refused("a", MESSAGE_BYTES)

    slowed.refused("a", MESSAGE_BYTES)
    await asyncio.gather(*(send() for _ in range(5)))
    assert min(b - a for a, b in pairwise(came)) > 0.09


async def test_who_goes_on_asking_waits_no_longer_than_it_was_made_to() -> None:
    slowed = SlowedCallers()
    slowed.refused("a", MESSAGE_BYTES)  # one device of many
    start_s = time.monotonic()
    others = [asyncio.create_task(slowed.wait("a")) for _ in range(30)]
    await asyncio.wait_for(asyncio.gather(*others), PATIENCE_S)
    assert slowed._until_s["a"] - start_s < 0.2


async def test_who_would_wait_for_long_is_refused(clock: Played) -> None:
    slowed = SlowedCallers(clock)
    for _ in range(40):
        slowed.refused("a", MESSAGE_BYTES)
    refused_s = clock.now_s
    with pytest.raises(Overloaded):
        await slowed.wait("a")
    assert clock.now_s - refused_s == 2, "it would come again at once"
    clock.now_s += 5
    await slowed.wait("a")


async def test_others_and_small_messages_wait_for_nothing(clock: Played) -> None:
    slowed, started_s = SlowedCallers(clock), clock.now_s
    for _ in range(1000):
        slowed.refused("b", LARGE_BYTES - 1)
    slowed.refused("a", MESSAGE_BYTES)
    await slowed.wait("b")
    await slowed.wait("c")
    assert clock.now_s == started_s
