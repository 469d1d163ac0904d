"""A dynamic batcher: faces of many requests go through the network together.

    submit -> queue, callers by turns -> batch -> run -> one result per future

Callers take turns (``FairQueue``); among the faces of a turn, and those of one caller, the earliest
deadline is first. A deadline that is far away counts as if it were near, so that faces which can
wait are not overtaken for ever by those which cannot.

Every submitted future resolves exactly once: a result, an error, or cancelled by its owner.
It takes what is queued and, by default, waits for nothing: on a processor a batch gains
a few per cent, and the wait would cost more. Where faces do wait, a batch is as large as its run
may be long: what a batch costs beside its run (threads, the event loop) is not in the run's time.

It knows about how long a batch takes, and spends no work on what would come too late: an item that
cannot make it behind the queue is refused when it comes, and one whose time ran out while it waited
is dropped before its run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.fair_queue import FairQueue
from splitfer.cloud_server.admission.recent_callers import RecentCallers
from splitfer.cloud_server.inference.batch_time import BatchTime
from splitfer.cloud_server.inference.next_batch import next_batch
from splitfer.cloud_server.inference.queued_item import QueuedItem
from splitfer.shared.deadline import Clock, Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    NotReady,
    Overloaded,
    SplitFerError,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)

# What an adaptive batch may grow to where it is quick: so many faces' feature maps.
MOST_ADAPTIVE = 128
# A queue behaves worse than predicted, and the answer still has its way back to go, past a network
# that is at work on the next batch. A shorter queue keeps a processor as busy.
_MARGIN = 1.5
# A face is as urgent as if it had no longer than this.
AGEING_S = 0.5


class Batcher(Generic[Item, Result]):
    """Collects items into batches for ``run``, one batch at a time. Belongs to one event loop.

    ``run`` gets 1 to ``batch_max`` items and gives as many results; with 0 it is as many as this
    device runs in ``goal_ms``. A result may be an error of its item's own. Where it raises, each
    item of that batch is run again alone, so that one poisoned item fails alone. ``on_batch`` is
    called with the items that leave the queue together, and how many milliseconds each one waited.
    ``times`` is what is known of runs already. Each caller's account is charged for its share of a
    run.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | SplitFerError]]],
        *,
        batch_max: int,
        queue_max: int,
        wait_ms: float = 0,
        goal_ms: float = 25,
        times: BatchTime | None = None,
        clock: Clock = time.monotonic,
        ageing_s: float = AGEING_S,
        on_batch: Callable[[list[Item], list[float]], None] | None = None,
    ) -> None:
        self._run = run
        self._on_batch = on_batch
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._wait_ms = wait_ms
        self._goal_s = goal_ms / 1000
        self._times = times or BatchTime(clock)
        self._clock = clock
        self._ageing_s = ageing_s
        self._queue: FairQueue[QueuedItem[Item, Result]] = FairQueue()
        self._recent = RecentCallers(clock)
        self._taken: list[QueuedItem[Item, Result]] = []
        self._ends_s: float | None = None  # when the run under way should end
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to take batches."""
        self._worker = asyncio.get_running_loop().create_task(self._loop(), name="batcher")

    def submit(self, item: Item, deadline: Deadline) -> asyncio.Future[Result]:
        """Queue one item; cancel the future to withdraw it.

        The future raises ``DeadlineExceeded`` (dropped before it cost work), ``InferenceFailed``
        or, on closing, ``NotReady``.

        Raises:
            NotReady, Overloaded: see ``check_capacity``.
        """
        self.check_capacity(deadline)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        entry = QueuedItem(deadline, item, self._clock(), future)
        owner = entry.account.key
        if len(self._queue) >= self._queue_max:
            self._queue.give_way(owner).fail(Overloaded(self._full_words()))
        self._queue.add(owner, self._urgency(deadline), entry)
        self._recent.asked(owner)
        self._wake.set()
        if len(self._queue) >= self.batch_max:
            self._full.set()
        return future

    def check_capacity(self, deadline: Deadline) -> None:
        """Return where ``submit`` would take an item now; it is cheap.

        Raises:
            NotReady: closed.
            Overloaded: as many items as may wait are waiting, and no other caller has more of them
                than this one; or those that come first would take longer than this one has.
        """
        if self._closed:
            raise NotReady("the server is stopping")
        refusal = self._refusal(deadline)
        # Those that were withdrawn, or are too late by now, are in nobody's way.
        if refusal and self._forget_settled():
            refusal = self._refusal(deadline)
        if refusal:
            raise Overloaded(refusal)

    @property
    def batch_max(self) -> int:
        """How many items one run gets at the most, now."""
        return self._batch_max or max(1, self._times.within(self._goal_s, MOST_ADAPTIVE))

    @property
    def waiting(self) -> int:
        """How many items are queued."""
        return len(self._queue)

    @property
    def oldest_ms(self) -> float:
        """How long the oldest queued item has waited; 0 where none is queued."""
        first_s = min((entry.submitted_s for entry in self._queue), default=None)
        return 0.0 if first_s is None else (self._clock() - first_s) * 1000

    async def close(self) -> None:
        """Stop now: whatever has no result yet, queued or running, raises ``NotReady``."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        # A worker that never got to run has not settled anything.
        self._settle_all()

    def _refusal(self, deadline: Deadline) -> str | None:
        owner = current_account().key
        if len(self._queue) >= self._queue_max and not self._queue.gives_way(owner):
            return self._full_words()
        ahead = self._queue.ahead(owner, self._urgency(deadline))
        if not ahead and self._ends_s is None:
            return None  # nobody is in its way; whether it has the time is seen when it is taken
        now_s, most = self._clock(), self.batch_max
        batches, rest = divmod(ahead + 1, most)
        runs_s = batches * self._times.of(most) + (self._times.of(rest) if rest else 0)
        under_way_s = max(0.0, self._ends_s - now_s) if self._ends_s is not None else 0.0
        if now_s + _MARGIN * (under_way_s + runs_s) > deadline.at_s:
            return f"{ahead} faces come first, and would take longer than this one has"
        return None

    def _urgency(self, deadline: Deadline) -> float:
        return min(deadline.at_s, self._clock() + self._ageing_s)

    def _full_words(self) -> str:
        return f"{self._queue_max} faces are waiting already"

    async def _loop(self) -> None:
        try:
            while True:
                while not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                if self._wait_ms:
                    await self._wait_for_more()
                self._taken = self._take()
                if self._taken:
                    self._tell(self._taken)
                    await self._answer(self._taken)
                    self._taken = []
        finally:
            self._closed = True
            self._settle_all()

    def _tell(self, batch: list[QueuedItem[Item, Result]]) -> None:
        if self._on_batch is not None:
            now_s = self._clock()
            self._on_batch([x.item for x in batch], [(now_s - x.submitted_s) * 1e3 for x in batch])

    async def _wait_for_more(self) -> None:
        self._full.clear()
        most = self.batch_max
        if len(self._queue) >= most:
            return
        # Never so long that the most urgent item has no time left for its run.
        first = next(self._queue.order()).item
        spare_ms = first.deadline.remaining_ms(self._clock) - 1000 * self._times.of(most)
        try:
            async with asyncio.timeout(max(0.0, min(self._wait_ms, spare_ms / 2)) / 1000):
                await self._full.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[QueuedItem[Item, Result]]:
        def left_s(entry: QueuedItem[Item, Result]) -> float:
            return entry.deadline.at_s - self._clock()

        light_callers = any(not self._queue.has(owner) for owner in self._recent)
        batch, passed = next_batch(
            self._queue.order(), self._wanted, left_s, self._times, self.batch_max, light_callers
        )
        self._queue.served(passed)
        return batch

    def _wanted(self, entry: QueuedItem[Item, Result]) -> bool:
        if entry.future.done():
            return False
        left_s = entry.deadline.at_s - self._clock()
        if left_s <= 0:
            entry.fail(DeadlineExceeded("the deadline passed while the face waited"))
        elif left_s < self._times.of(1) and self._times.fresh:
            entry.fail(DeadlineExceeded("what is left of the deadline is less than the run takes"))
        return not entry.future.done()

    async def _answer(self, batch: list[QueuedItem[Item, Result]]) -> None:
        try:
            results = await self._attempt(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].context.run(log.error, "a face failed in the network", exc_info=error)
                batch[0].fail(InferenceFailed("the network failed on this face"))
                return
            log.warning("a batch of %d failed, each face is run alone: %s", len(batch), error)
            for entry in batch:
                if self._wanted(entry):
                    await self._answer([entry])
            return
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, SplitFerError):
                entry.fail(result)
            elif not entry.future.done():
                entry.future.set_result(result)

    async def _attempt(
        self, batch: list[QueuedItem[Item, Result]]
    ) -> Sequence[Result | SplitFerError]:
        start_s = self._clock()
        self._ends_s = start_s + self._times.of(len(batch))
        try:
            results = await self._run([entry.item for entry in batch])
        except asyncio.CancelledError as error:
            worker = asyncio.current_task()
            if worker is not None and worker.cancelling():
                raise
            # Nobody cancelled the worker: the run gave up by itself, and the loop goes on.
            raise RuntimeError("the run was cancelled") from error
        finally:
            self._ends_s = None
        if len(results) != len(batch):
            raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        # What could not be read costs next to nothing, and says nothing of a run.
        if ran := sum(not isinstance(result, SplitFerError) for result in results):
            took_s = self._clock() - start_s
            self._times.learn(ran, took_s)
            for entry in batch:
                entry.account.charge_busy(took_s / len(batch))
        return results

    def _forget_settled(self) -> bool:
        """Whether anything was forgotten. It is asked at each refusal, and so must be cheap."""
        too_late = []
        for place in self._queue.order():
            if self._wanted(place.item):
                break
            too_late.append(place)
        self._queue.served(too_late)
        return self._queue.forget(lambda entry: entry.future.done()) or bool(too_late)

    def _settle_all(self) -> None:
        for entry in (*self._taken, *self._queue.clear()):
            entry.fail(NotReady("the server is stopping"))
        self._taken = []
