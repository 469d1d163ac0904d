from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context

import pytest

from splitfer.cloud_server.admission.account import Account, work_for
from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.pictures.fair_workers import FairWorkers
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.errors import NotReady, Overloaded


class Played:
    """Workers, and jobs that end when they are told to."""

    def __init__(self, threads: int, most: int = 16) -> None:
        self.now = 0.0
        self.workers: FairWorkers[str] = FairWorkers("test", threads, most, lambda: self.now)
        self.begun: list[str] = []
        self._go: dict[str, threading.Event] = {}
        self._news = threading.Condition()

    def ask(self, owner: str, *names: str) -> list[asyncio.Task[str]]:
        def begin() -> list[asyncio.Task[str]]:
            work_for(Account(owner, RateLimiter(CallerLimits())))
            return [asyncio.create_task(self.workers.run(self._job(name))) for name in names]

        return copy_context().run(begin)

    def _job(self, name: str) -> Callable[[], str]:
        self._go[name] = threading.Event()

        def work() -> str:
            with self._news:
                self.begun.append(name)
                self._news.notify_all()
            assert self._go[name].wait(60)
            return name

        return work

    def end(self, *names: str) -> None:
        for name in names:
            self._go[name].set()

    async def until_begun(self, *names: str) -> None:
        def all_there() -> bool:
            return set(names) <= set(self.begun)

        def wait() -> None:
            with self._news:
                assert self._news.wait_for(all_there, 60), self.begun

        await asyncio.to_thread(wait)


async def test_who_is_alone_has_all_workers() -> None:
    played = Played(threads=2)
    jobs = played.ask("a", "a1", "a2", "a3")
    await played.until_begun("a1", "a2")
    played.end("a1", "a2", "a3")
    assert await asyncio.gather(*jobs) == ["a1", "a2", "a3"]
    played.workers.close()


async def test_one_worker_is_left_to_others_that_ask() -> None:
    played = Played(threads=2)
    long = played.ask("a", "a1", "a2", "a3", "a4")
    await played.until_begun("a1", "a2")
    (other,) = played.ask("b", "b1")
    await asyncio.sleep(0)
    played.end("a1")
    await played.until_begun("b1")
    played.end("b1")
    assert await other == "b1"
    # The worker that is free now stays free for the next one, and it begins at once.
    assert "a3" not in played.begun
    (again,) = played.ask("b", "b2")
    await played.until_begun("b2")
    played.end("b2")
    assert await again == "b2"
    played.now += 60  # it asks no more: all workers are the first one's again
    played.end("a2")
    await played.until_begun("a3", "a4")
    played.end("a3", "a4")
    assert await asyncio.gather(*long) == ["a1", "a2", "a3", "a4"]
    played.workers.close()


async def test_those_who_wait_take_turns() -> None:
    played = Played(threads=1)
    jobs = played.ask("a", "a1", "a2", "a3")
    await played.until_begun("a1")
    jobs += played.ask("b", "b1")
    await asyncio.sleep(0)
    played.end("a1", "a2", "a3", "b1")
    await asyncio.gather(*jobs)
    assert played.begun.index("b1") <= 2
    played.workers.close()


async def test_who_fills_the_places_makes_room() -> None:
    played = Played(threads=1, most=4)
    jobs = played.ask("a", "a1", "a2", "a3", "a4")
    await played.until_begun("a1")
    (refused,) = played.ask("a", "a5")
    with pytest.raises(Overloaded):
        await refused
    (other,) = played.ask("b", "b1")
    with pytest.raises(Overloaded):
        await jobs[3]  # the last that came
    played.end("a1", "a2", "a3", "b1")
    assert await asyncio.gather(*jobs[:3], other) == ["a1", "a2", "a3", "b1"]
    played.workers.close()


async def test_a_stop_ends_those_that_wait() -> None:
    played = Played(threads=1)
    first, second = played.ask("a", "a1", "a2")
    await played.until_begun("a1")
    played.workers.close()
    with pytest.raises(NotReady):
        await second
    played.end("a1")
    assert await first == "a1"
    with pytest.raises(NotReady):
        await played.ask("a", "a3")[0]
