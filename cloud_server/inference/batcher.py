"""A dynamic batcher: faces of many requests go through the network together.

    submit -> queue, earliest deadline first -> batch -> run -> one result per future

Every submitted future resolves exactly once: a result, an error, or cancelled by its owner.
It takes what is queued and, unless told otherwise, waits for nothing: on a processor a batch gains
a few per cent, and the wait would cost more. Where faces do wait, a batch is as large as its run
may be long: what a batch costs beside its run (threads, the event loop) is not in the run's time.

It knows about how long a batch takes, and spends no work on what would come too late: an item that
cannot make it behind the queue is refused when it comes, and one whose time ran out while it waited
is dropped before its run.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from splitfer.cloud_server.inference.batch_time import BatchTime
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


@dataclass(eq=False)
class _Entry(Generic[Item, Result]):
    deadline: Deadline
    item: Item
    submitted_s: float
    future: asyncio.Future[Result]
    context: Context = field(default_factory=copy_context)  # so that the log names its request

    def fail(self, error: SplitFerError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # marks it as seen: its owner may have gone, and need not ask


class Batcher(Generic[Item, Result]):
    """Collects items into batches for ``run``, one batch at a time. Belongs to one event loop.

    ``run`` gets 1 to ``batch_max`` items and gives as many results; with 0 it is as many as this
    device runs in ``goal_ms``. A result may be an error of its item's own. Where it raises, each
    item of that batch is run again alone, so that one poisoned item fails alone. ``on_batch`` is
    told of the items that leave the queue together, and how many milliseconds each one waited.
    ``times`` is what is known of runs already.
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
        # Sorted by deadline; first come, first served among equal ones.
        self._queue: list[tuple[float, int, _Entry[Item, Result]]] = []
        self._taken: list[_Entry[Item, Result]] = []
        self._ends_s: float | None = None  # when the run under way should end
        self._numbers = itertools.count()
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
            NotReady, Overloaded: see ``admit``.
        """
        self.admit(deadline)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        entry = _Entry(deadline, item, self._clock(), future)
        bisect.insort(self._queue, (deadline.at_s, next(self._numbers), entry))
        self._wake.set()
        if len(self._queue) >= self.batch_max:
            self._full.set()
        return future

    def admit(self, deadline: Deadline) -> None:
        """Return where ``submit`` would take an item now; it is cheap.

        Raises:
            NotReady: closed.
            Overloaded: as many items as may wait are waiting, or those that come first would take
                longer than this one has.
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
        first_s = min((entry.submitted_s for _, _, entry in self._queue), default=None)
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
        if len(self._queue) >= self._queue_max:
            return f"{self._queue_max} faces are waiting already"
        ahead = bisect.bisect(self._queue, (deadline.at_s, float("inf")))
        if not ahead and self._ends_s is None:
            return None  # nobody is in its way; whether it has the time is seen when it is taken
        now_s, most = self._clock(), self.batch_max
        batches, rest = divmod(ahead + 1, most)
        runs_s = batches * self._times.of(most) + (self._times.of(rest) if rest else 0)
        under_way_s = max(0.0, self._ends_s - now_s) if self._ends_s is not None else 0.0
        if now_s + _MARGIN * (under_way_s + runs_s) > deadline.at_s:
            return f"{ahead} faces come first, and would take longer than this one has"
        return None

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

    def _tell(self, batch: list[_Entry[Item, Result]]) -> None:
        if self._on_batch is not None:
            now_s = self._clock()
            ages_ms = [(now_s - entry.submitted_s) * 1000 for entry in batch]
            self._on_batch([entry.item for entry in batch], ages_ms)

    async def _wait_for_more(self) -> None:
        self._full.clear()
        most = self.batch_max
        if len(self._queue) >= most:
            return
        # Never so long that the most urgent item has no time left for its run.
        _, _, first = self._queue[0]
        spare_ms = first.deadline.remaining_ms(self._clock) - 1000 * self._times.of(most)
        try:
            async with asyncio.timeout(max(0.0, min(self._wait_ms, spare_ms / 2)) / 1000):
                await self._full.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[_Entry[Item, Result]]:
        """The next batch: so small, where it must be, that the most urgent item is in time."""
        batch: list[_Entry[Item, Result]] = []
        taken, most = 0, self.batch_max
        for at_s, _, entry in self._queue:
            if len(batch) >= most:
                break
            taken += 1
            if self._wanted(entry):
                if not batch:
                    most = max(1, self._times.within(at_s - self._clock(), most))
                batch.append(entry)
        del self._queue[:taken]
        return batch

    def _wanted(self, entry: _Entry[Item, Result]) -> bool:
        if entry.future.done():
            return False
        left_s = entry.deadline.at_s - self._clock()
        if left_s <= 0:
            entry.fail(DeadlineExceeded("the deadline passed while the face waited"))
        elif left_s < self._times.of(1) and self._times.fresh:
            entry.fail(DeadlineExceeded("what is left of the deadline is less than the run takes"))
        return not entry.future.done()

    async def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
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

    async def _attempt(self, batch: list[_Entry[Item, Result]]) -> Sequence[Result | SplitFerError]:
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
            self._times.learn(ran, self._clock() - start_s)
        return results

    def _forget_settled(self) -> bool:
        """Whether anything was forgotten. It is asked at each refusal, and so must be cheap."""
        before, too_late = len(self._queue), 0
        while too_late < before and not self._wanted(self._queue[too_late][2]):
            too_late += 1
        del self._queue[:too_late]
        if any(entry.future.done() for _, _, entry in self._queue):
            self._queue = [one for one in self._queue if not one[2].future.done()]
        return len(self._queue) < before

    def _settle_all(self) -> None:
        for entry in (*self._taken, *(entry for _, _, entry in self._queue)):
            entry.fail(NotReady("the server is stopping"))
        self._taken, self._queue = [], []
