"""Worker threads that callers take by turns."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from splitfer.cloud_server.admission.account import Account, current_account
from splitfer.cloud_server.admission.fair_queue import FairQueue
from splitfer.cloud_server.admission.recent_callers import RecentCallers
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import NotReady, Overloaded

T = TypeVar("T")


@dataclass(eq=False)
class _Job(Generic[T]):
    work: Callable[[], T]
    future: asyncio.Future[T]
    account: Account
    context: contextvars.Context  # so that what is logged there names the request


class FairWorkers(Generic[T]):
    """``threads`` of them, and at most ``most`` jobs that are worked on or wait. Belongs to one
    event loop.

    A caller that is alone has them all. Where others ask, too, it has all but one, so that a job
    which takes long never stands in everybody's way; one thread alone cannot be kept free.
    """

    def __init__(self, name: str, threads: int, most: int, clock: Clock = time.monotonic) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads, self._most, self._clock = threads, most, clock
        self._waiting: FairQueue[_Job[T]] = FairQueue()
        self._in_work: Counter[str] = Counter()
        self._recent = RecentCallers(clock)
        self._closed = False

    def warm_up(self, begin: Callable[[], None]) -> None:
        """Run ``begin`` in as many jobs as there are threads, and wait for all of them."""
        for job in [self._pool.submit(begin) for _ in range(self._threads)]:
            job.result()

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises, once its caller's turn has come.

        Raises:
            Overloaded: as many jobs as there may be are there, and no other caller has more of
                them that wait.
            NotReady: closed, before or meanwhile.
        """
        if self._closed:
            raise NotReady("the server is stopping")
        account = current_account()
        self._make_room(account.key)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(work, future, account, contextvars.copy_context())
        self._recent.asked(account.key)
        self._waiting.add(account.key, self._clock(), job)
        self._start_more()
        return await future

    def close(self) -> None:
        """Stop; jobs that wait raise ``NotReady``."""
        self._closed = True
        for job in self._waiting.clear():
            _fail(job, NotReady("the server is stopping"))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, owner: str) -> None:
        if len(self._waiting) + self._in_work.total() < self._most:
            return
        if self._waiting.forget(lambda job: job.future.done()):
            return  # their callers had gone
        refusal = Overloaded(f"{self._most} pictures are waiting already")
        if not self._waiting.gives_way(owner):
            raise refusal
        _fail(self._waiting.give_way(owner), refusal)

    def _start_more(self) -> None:
        while self._in_work.total() < self._threads:
            place = next((one for one in self._waiting.order() if self._may(one.owner)), None)
            if place is None:
                return
            self._waiting.take(place)
            if not place.item.future.done():
                self._start(place.item)

    def _may(self, owner: str) -> bool:
        """Whether one more job of this owner may begin."""
        alone = all(other == owner for other in self._recent)
        at_once = self._threads if alone else max(1, self._threads - 1)
        return self._in_work[owner] < at_once

    def _start(self, job: _Job[T]) -> None:
        loop, owner = asyncio.get_running_loop(), job.account.key
        self._in_work[owner] += 1
        started_s = self._clock()

        def ended() -> None:
            job.account.charge_busy(self._clock() - started_s)
            self._in_work[owner] -= 1
            self._in_work += Counter()  # forgets those that have none
            self._start_more()

        def work() -> None:
            try:
                result = job.context.run(job.work)
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, job, error)
            else:
                loop.call_soon_threadsafe(_answer, job, result)
            finally:
                loop.call_soon_threadsafe(ended)

        self._pool.submit(work)


def _answer(job: _Job[T], result: T) -> None:
    if not job.future.done():  # its caller may have gone
        job.future.set_result(result)


def _fail(job: _Job[T], error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)
        job.future.exception()  # marks it as seen
