"""Any interleaving of submit, cancel, expire, fail and shutdown settles every future once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    MalformedPayload,
    NotReady,
    Overloaded,
    SplitFerError,
)

QUEUE_MAX = 5
POISONS = ("raise", "short", "cancel")
KINDS = ("good", "good", "good", "unreadable", *POISONS)


class Batching(RuleBasedStateMachine):
    """A batcher, its clock, its network, and what became of every future."""

    @initialize(batch_max=st.sampled_from([0, 1, 3]), wait_ms=st.sampled_from([0.0, 0.0, 1.0]))
    def begin(self, batch_max: int, wait_ms: float) -> None:
        self.now, self.batch_max = 0.0, batch_max
        self.futures: list[asyncio.Future[int]] = []
        self.kinds: list[str] = []
        self.deadlines: list[Deadline] = []
        self.settled: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.ran: Counter[int] = Counter()
        self.running: list[int] = []
        self.complaints: list[dict[str, Any]] = []
        self.closed = False
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, what: self.complaints.append(what))
        self.gate = asyncio.Semaphore(0)
        self.batcher: Batcher[int, int] = Batcher(
            self.run_network,
            batch_max=batch_max,
            queue_max=QUEUE_MAX,
            wait_ms=wait_ms,
            goal_ms=3000,
            clock=lambda: self.now,
            ageing_s=1e9,
            on_batch=self.taken,
        )
        self.do(self.started())

    async def started(self) -> None:
        self.batcher.start()

    def do(self, what: Any) -> Any:
        return self.loop.run_until_complete(what)

    def taken(self, items: list[int], ages_ms: list[float]) -> None:
        """A batch leaves the queue: the most urgent of all that wait, in their order."""
        order = [(self.deadlines[item], item) for item in items]
        assert order == sorted(order)
        waiting = [
            (self.deadlines[item], item)
            for item, future in enumerate(self.futures)
            if not future.done() and item not in items and not self.ran[item]
        ]
        assert not waiting or order[-1] < min(waiting)
        assert all(age_ms >= 0 for age_ms in ages_ms)

    async def run_network(self, items: list[int]) -> list[int | SplitFerError]:
        assert 1 <= len(items) <= (self.batch_max or QUEUE_MAX)
        assert not self.running, "one run at a time"
        for item in items:
            assert not self.futures[item].done(), "work was spent on a settled item"
            assert not self.deadlines[item].expired(lambda: self.now), "and on an expired one"
        self.ran.update(items)
        self.running = items
        try:
            await self.gate.acquire()
        finally:
            self.running = []
        kinds = {self.kinds[item] for item in items}
        if "raise" in kinds:
            raise ValueError("poison")
        if "cancel" in kinds:
            raise asyncio.CancelledError
        results = [
            MalformedPayload("unreadable") if self.kinds[item] == "unreadable" else 10 * item
            for item in items
        ]
        return results[1 if "short" in kinds else 0 :]

    async def submitted(self, patience_s: float, kind: str) -> bool:
        number, deadline = len(self.futures), Deadline(self.now + patience_s)
        nothing_before = not self.batcher.waiting and not self.running
        try:
            future = self.batcher.submit(number, deadline)
        except Overloaded:
            assert not nothing_before, "refused though nobody was in its way"
            return False
        except NotReady:
            assert self.closed
            return False
        assert not self.closed
        future.add_done_callback(lambda _: self.settled.update([number]))
        self.futures.append(future)
        self.kinds.append(kind)
        self.deadlines.append(deadline)
        return True

    async def turn(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    @rule(patience_s=st.sampled_from([0.0, 1.0, 2.0, 4.0, 50.0]), kind=st.sampled_from(KINDS))
    def submit(self, patience_s: float, kind: str) -> None:
        self.do(self.submitted(patience_s, kind))

    @rule(which=st.integers(0, 30))
    def cancel(self, which: int) -> None:
        if self.futures:
            number = which % len(self.futures)
            if self.futures[number].cancel():
                self.cancelled.add(number)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(turns=st.integers(1, 4))
    def the_loop_turns(self, turns: int) -> None:
        self.do(self.turn(turns))

    @rule(took_s=st.sampled_from([0.0, 0.2, 1.0]))
    def run_ends(self, took_s: float) -> None:
        if self.running:
            self.now += took_s
            self.gate.release()
        self.do(self.turn(3))

    @precondition(lambda self: not self.closed)
    @rule()
    def shut_down(self) -> None:
        self.closed = True
        self.do(self.batcher.close())
        self.do(self.turn(1))
        assert all(future.done() for future in self.futures)

    @invariant()
    def nothing_was_settled_twice(self) -> None:
        if hasattr(self, "loop"):
            assert not self.complaints
            assert len(self.running) <= QUEUE_MAX
            assert max(self.settled.values(), default=1) == 1

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if not self.closed:
                self.do(self.live_on())
            self.do(self.batcher.close())
            self.do(self.turn(2))
            self.check_every_future()
        finally:
            self.loop.close()

    async def live_on(self) -> None:
        """Whatever happened: all are settled in time, and a new item is answered."""
        for _ in range(10 * len(self.futures) + 10):
            self.gate.release()
        if self.futures:
            await asyncio.wait(self.futures)
        self.now += 10  # what it learnt from slow runs is old by now
        assert await self.submitted(100.0, "good")
        self.gate.release()
        assert await self.futures[-1] == 10 * (len(self.futures) - 1)

    def check_every_future(self) -> None:
        assert self.settled == Counter(range(len(self.futures)))
        assert not self.complaints
        for number, future in enumerate(self.futures):
            if future.cancelled():
                assert number in self.cancelled
                continue
            assert number not in self.cancelled
            error = future.exception()
            if error is None:
                assert future.result() == 10 * number
                assert self.kinds[number] == "good"
            elif isinstance(error, MalformedPayload):
                assert self.kinds[number] == "unreadable"
            elif isinstance(error, InferenceFailed):
                assert self.kinds[number] in POISONS, "a good item failed with a poisoned one"
            elif isinstance(error, DeadlineExceeded):
                # Work was spent on it only where another one's failure made it late.
                assert self.ran[number] <= 1
            else:
                assert isinstance(error, NotReady)
                assert self.closed


Batching.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBatching = Batching.TestCase
