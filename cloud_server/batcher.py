"""A dynamic batcher: faces of many requests go through the network together.

    submit -> heap, earliest deadline first -> batch -> run -> one result per future

Every submitted future resolves exactly once: a result, an error, or cancelled by its owner.
It takes what is queued and, unless told otherwise, waits for nothing: on a processor a batch gains
a few per cent, and the wait would cost more.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.deadline import Clock, Deadline
from shared.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded, ServeError

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass(order=True)
class _Entry(Generic[Item, Result]):
    deadline: Deadline
    number: int  # first come, first served among equal deadlines
    item: Item = field(compare=False)
    submitted_s: float = field(compare=False)
    future: asyncio.Future[Result] = field(compare=False)

    def fail(self, error: ServeError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # marks it as seen: its owner may have gone, and need not ask


class Batcher(Generic[Item, Result]):
    """Collects items into batches for ``run``, one batch at a time. Belongs to one event loop.

    ``run`` gets 1 to ``batch_max`` items and gives as many results. Where it raises, each item of
    that batch is run again alone, so that one poisoned item fails alone. ``on_batch`` is told of
    the items that leave the queue together, and how many milliseconds each one waited.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        *,
        batch_max: int,
        queue_max: int,
        wait_ms: float = 0,
        clock: Clock = time.monotonic,
        on_batch: Callable[[list[Item], list[float]], None] | None = None,
    ) -> None:
        self._run = run
        self._on_batch = on_batch
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._wait_ms = wait_ms
        self._clock = clock
        self._heap: list[_Entry[Item, Result]] = []
        self._taken: list[_Entry[Item, Result]] = []
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
            NotReady: closed.
            Overloaded: as many items as may wait are waiting.
        """
        if self._closed:
            raise NotReady("the server is stopping")
        if len(self._heap) >= self._queue_max:
            self._forget_settled()
        if len(self._heap) >= self._queue_max:
            raise Overloaded(f"{self._queue_max} faces are waiting already")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        entry = _Entry(deadline, next(self._numbers), item, self._clock(), future)
        heapq.heappush(self._heap, entry)
        self._wake.set()
        if len(self._heap) >= self._batch_max:
            self._full.set()
        return future

    @property
    def waiting(self) -> int:
        """How many items are queued."""
        return len(self._heap)

    @property
    def oldest_ms(self) -> float:
        """How long the oldest queued item has waited; 0 where none is queued."""
        first_s = min((entry.submitted_s for entry in self._heap), default=None)
        return 0.0 if first_s is None else (self._clock() - first_s) * 1000

    async def close(self) -> None:
        """Stop now: whatever has no result yet, queued or running, raises ``NotReady``."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        # A worker that never got to run has not settled anything.
        self._settle_all()

    async def _loop(self) -> None:
        try:
            while True:
                while not self._heap:
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
        if len(self._heap) >= self._batch_max:
            return
        # Never so long that the most urgent item has no time left for its run.
        most_ms = min(self._wait_ms, self._heap[0].deadline.remaining_ms(self._clock) / 2)
        try:
            async with asyncio.timeout(max(0.0, most_ms) / 1000):
                await self._full.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        while self._heap and len(batch) < self._batch_max:
            entry = heapq.heappop(self._heap)
            if self._wanted(entry):
                batch.append(entry)
        return batch

    def _wanted(self, entry: _Entry[Item, Result]) -> bool:
        if entry.deadline.expired(self._clock):
            entry.fail(DeadlineExceeded("the deadline passed while the face waited"))
        return not entry.future.done()

    async def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
        try:
            results = await self._attempt(batch)
        except Exception as error:
            if len(batch) == 1:
                log.error("a face failed in the network", exc_info=error)
                batch[0].fail(InferenceFailed("the network failed on this face"))
                return
            log.warning("a batch of %d failed, each face is run alone: %s", len(batch), error)
            for entry in batch:
                if self._wanted(entry):
                    await self._answer([entry])
            return
        for entry, result in zip(batch, results, strict=True):
            if not entry.future.done():
                entry.future.set_result(result)

    async def _attempt(self, batch: list[_Entry[Item, Result]]) -> Sequence[Result]:
        try:
            results = await self._run([entry.item for entry in batch])
        except asyncio.CancelledError as error:
            worker = asyncio.current_task()
            if worker is not None and worker.cancelling():
                raise
            # Nobody cancelled the worker: the run gave up by itself, and the loop goes on.
            raise RuntimeError("the run was cancelled") from error
        if len(results) != len(batch):
            raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        return results

    def _forget_settled(self) -> None:
        self._heap = [entry for entry in self._heap if self._wanted(entry)]
        heapq.heapify(self._heap)

    def _settle_all(self) -> None:
        for entry in (*self._taken, *self._heap):
            entry.fail(NotReady("the server is stopping"))
        self._taken, self._heap = [], []
