"""Any interleaving of submit, cancel, expire, fail and shutdown settles every future once."""

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_server.batcher import Batcher
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded

BATCH_MAX, QUEUE_MAX = 3, 5
KINDS = ("good", "raise", "short", "cancel")

STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 4), st.sampled_from(KINDS)),
    st.tuples(st.just("submit"), st.integers(1, 4), st.just("good")),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("time_passes")),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("run_ends")),
)


class World:
    """A batcher, its clock, its network, and what became of every future."""

    def __init__(self, wait_ms: float) -> None:
        self.now = 0.0
        self.futures: list[asyncio.Future[int]] = []
        self.kinds: list[str] = []
        self.deadlines: list[Deadline] = []
        self.settled: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.running = 0
        self.gate = asyncio.Semaphore(0)
        self.batcher: Batcher[int, int] = Batcher(
            self.run, batch_max=BATCH_MAX, queue_max=QUEUE_MAX, wait_ms=wait_ms,
            clock=lambda: self.now,
        )  # fmt: skip

    async def run(self, items: list[int]) -> list[int]:
        assert 1 <= len(items) <= BATCH_MAX
        assert not self.running, "one run at a time"
        for item in items:
            assert not self.futures[item].done(), "work was spent on a settled item"
            assert not self.deadlines[item].expired(lambda: self.now), "and on an expired one"
        self.running += 1
        try:
            await self.gate.acquire()
        finally:
            self.running -= 1
        kinds = {self.kinds[item] for item in items}
        if "raise" in kinds:
            raise ValueError("poison")
        if "cancel" in kinds:
            raise asyncio.CancelledError
        return [10 * item for item in items][1 if "short" in kinds else 0 :]

    def submit(self, patience: int, kind: str) -> None:
        number = len(self.futures)
        deadline = Deadline(self.now + patience)
        try:
            future = self.batcher.submit(number, deadline)
        except Overloaded:
            return
        future.add_done_callback(lambda _: self.settled.update([number]))
        self.futures.append(future)
        self.kinds.append(kind)
        self.deadlines.append(deadline)

    async def step(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("submit", patience, kind):
                self.submit(patience, kind)
            case ("cancel", which) if self.futures:
                number = which % len(self.futures)
                if self.futures[number].cancel():
                    self.cancelled.add(number)
            case ("time_passes",):
                self.now += 1.0
            case ("turn", turns):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case ("run_ends",):
                self.gate.release()
                await asyncio.sleep(0)


async def live(steps: list[tuple[Any, ...]], wait_ms: float, patient_end: bool) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    world = World(wait_ms)
    world.batcher.start()
    for step in steps:
        await world.step(step)
    if patient_end:
        for _ in range(10 * len(steps) + 10):
            world.gate.release()
        if world.futures:
            await asyncio.wait(world.futures)
        # Whatever happened, the loop lives.
        world.submit(4, "good")
        assert await world.futures[-1] == 10 * (len(world.futures) - 1)
    await world.batcher.close()
    await asyncio.sleep(0)

    assert world.settled == Counter(range(len(world.futures)))
    for number, future in enumerate(world.futures):
        if future.cancelled():
            assert number in world.cancelled
            continue
        assert number not in world.cancelled
        error = future.exception()
        if error is None:
            assert future.result() == 10 * number
            assert world.kinds[number] == "good"
        elif isinstance(error, InferenceFailed):
            assert world.kinds[number] != "good", "a good item failed with a poisoned one"
        elif isinstance(error, DeadlineExceeded):
            assert world.deadlines[number].expired(lambda: world.now)
        else:
            assert isinstance(error, NotReady)
            assert not patient_end
    assert not complaints


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=40),
    wait_ms=st.sampled_from([0.0, 0.0, 1.0]),
    patient_end=st.booleans(),
)
def test_every_future_settles_once(
    steps: list[tuple[Any, ...]], wait_ms: float, patient_end: bool
) -> None:
    asyncio.run(live(steps, wait_ms, patient_end))
