import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from splitfer.cloud_server.inference.batch_time import BatchTime
from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    MalformedPayload,
    NotReady,
    Overloaded,
)

# Not from now: "now" would be when the tests were collected, which may be minutes ago.
LATER = Deadline(1e9)


class Network:
    """Doubles numbers; fails on ``poison``; each run waits for the gate."""

    def __init__(self, poison: Sequence[int] = (), gate_open: bool = True) -> None:
        self.poison = poison
        self.runs: list[list[int]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        if gate_open:
            self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.runs.append(items)
        self.started.set()
        await self.gate.wait()
        if set(items) & set(self.poison):
            raise ValueError("poison")
        return [2 * item for item in items]


@asynccontextmanager
async def batching(run: Any, **options: Any) -> AsyncIterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(
        run, **{"batch_max": 4, "queue_max": 100, "ageing_s": 1e9, **options}
    )
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


async def test_queued_items_run_together_the_most_urgent_first() -> None:
    network = Network()
    async with batching(network) as batcher:
        futures = [batcher.submit(n, Deadline(LATER.at_s - n)) for n in range(6)]
        assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8, 10]
    assert network.runs == [[5, 4, 3, 2], [1, 0]]


async def test_items_that_come_during_a_run_make_the_next_batch() -> None:
    network = Network(gate_open=False)
    async with batching(network) as batcher:
        first = batcher.submit(1, LATER)
        await network.started.wait()
        rest = [batcher.submit(n, LATER) for n in (2, 3)]
        network.gate.set()
        assert await asyncio.gather(first, *rest) == [2, 4, 6]
    assert network.runs == [[1], [2, 3]]


async def test_a_poisoned_item_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    network = Network(poison=[2])
    async with batching(network) as batcher:
        futures = [batcher.submit(n, LATER) for n in (1, 2, 3)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert results[::2] == [2, 6]
        assert isinstance(results[1], InferenceFailed)
        assert "poison" not in str(results[1])  # the cause is for the log, not for the caller
        assert await batcher.submit(4, LATER) == 8
    assert "poison" in caplog.text


@pytest.mark.parametrize("failure", [asyncio.CancelledError, TimeoutError, KeyError])
async def test_a_run_that_gives_up_by_itself_does_not_stop_the_loop(
    failure: type[BaseException],
) -> None:
    async def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise failure
        return items

    async with batching(run) as batcher:
        with pytest.raises(InferenceFailed):
            await batcher.submit(0, LATER)
        assert await batcher.submit(1, LATER) == 1


async def test_too_few_results_are_a_failure() -> None:
    async def run(items: list[int]) -> list[int]:
        return items[1:]

    async with batching(run) as batcher:
        with pytest.raises(InferenceFailed):
            await batcher.submit(0, LATER)


async def test_expired_items_cost_no_work() -> None:
    now = 0.0
    network = Network(gate_open=False)
    async with batching(network, clock=lambda: now) as batcher:
        first = batcher.submit(1, Deadline(10))
        await network.started.wait()
        late, fine = batcher.submit(2, Deadline(5)), batcher.submit(3, LATER)
        now = 6.0
        network.gate.set()
        assert await first == 2
        assert await fine == 6
        with pytest.raises(DeadlineExceeded):
            await late
    assert network.runs == [[1], [3]]


class Timed:
    """A network whose runs take a fixed time and some more an item, by a clock of its own."""

    def __init__(self, fixed_s: float, per_item_s: float) -> None:
        self.now, self.runs = 0.0, []  # type: ignore[var-annotated]
        self.fixed_s, self.per_item_s = fixed_s, per_item_s

    async def __call__(self, items: list[int]) -> list[int]:
        self.runs.append(items)
        self.now += self.fixed_s + self.per_item_s * len(items)
        return items

    def known(self) -> BatchTime:
        """What is learnt of it from one small and one large run."""
        times = BatchTime(lambda: self.now)
        for size in (1, 16):
            times.learn(size, self.fixed_s + self.per_item_s * size)
        return times


async def test_items_with_an_error_of_their_own_say_nothing_of_what_a_run_takes() -> None:
    network = Timed(0, 1)
    times = network.known()

    async def unreadable(items: list[int]) -> list[MalformedPayload]:
        return [MalformedPayload(str(item)) for item in items]

    async with batching(unreadable, times=times, clock=lambda: network.now) as batcher:
        for n in range(20):
            with pytest.raises(MalformedPayload, match=str(n)):
                await batcher.submit(n, LATER)
    assert times.of(4) == pytest.approx(4)


async def test_what_cannot_make_it_behind_the_queue_is_refused_at_once() -> None:
    network = Timed(0, 1)
    options = {"clock": lambda: network.now, "times": network.known(), "batch_max": 2}
    async with batching(network, **options) as batcher:
        queued = [batcher.submit(n, Deadline(6.5)) for n in range(4)]
        with pytest.raises(Overloaded):
            batcher.submit(4, Deadline(6.5))  # four of 1 s each come first
        urgent = batcher.submit(5, Deadline(3))  # the others can wait
        patient = batcher.submit(6, Deadline(101))
        assert await asyncio.gather(*queued, urgent, patient) == [0, 1, 2, 3, 5, 6]
    assert network.runs[0][0] == 5


async def test_what_would_come_too_late_is_dropped_before_its_run() -> None:
    network = Timed(0, 1)
    options = {"clock": lambda: network.now, "times": network.known()}
    async with batching(network, **options) as batcher:
        hopeless, fine = batcher.submit(1, Deadline(0.5)), batcher.submit(2, Deadline(9))
        assert await fine == 2
        with pytest.raises(DeadlineExceeded):
            await hopeless
    assert network.runs == [[2]]


async def test_the_urgent_get_a_smaller_batch() -> None:
    network = Timed(0, 1)
    options = {"clock": lambda: network.now, "times": network.known(), "batch_max": 4}
    async with batching(network, **options) as batcher:
        futures = [batcher.submit(n, Deadline(2.5 + 100 * n)) for n in range(5)]
        assert await asyncio.gather(*futures) == [0, 1, 2, 3, 4]
    assert network.runs == [[0, 1], [2, 3, 4]]


async def test_an_estimate_that_got_old_is_tried_again() -> None:
    network = Timed(0, 1)
    options = {"clock": lambda: network.now, "times": network.known()}
    async with batching(network, **options) as batcher:
        network.per_item_s = 0.01  # something else had slowed the machine down
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(1, Deadline(0.5))
        network.now = 10.0
        assert await batcher.submit(2, Deadline(10.5)) == 2


async def test_an_adaptive_batch_is_as_large_as_a_run_may_be_long() -> None:
    accelerator, processor = Timed(0.002, 0.00005), Timed(0.0002, 0.0013)
    slow = Timed(0.001, 0.02)
    for network, least, most in ((accelerator, 128, 128), (processor, 18, 20), (slow, 1, 1)):
        batcher: Batcher[int, int] = Batcher(
            network, batch_max=0, queue_max=1, goal_ms=25, times=network.known()
        )
        assert least <= batcher.batch_max <= most


async def test_withdrawn_items_cost_no_work_and_disturb_nobody() -> None:
    network = Network(gate_open=False)
    async with batching(network) as batcher:
        running, beside = batcher.submit(1, LATER), batcher.submit(2, LATER)
        await network.started.wait()
        waiting, fine = batcher.submit(3, LATER), batcher.submit(4, LATER)
        running.cancel()
        waiting.cancel()
        network.gate.set()
        assert await asyncio.gather(beside, fine) == [4, 8]
    assert network.runs == [[1, 2], [4]]


async def test_a_cancelled_caller_sees_its_cancellation() -> None:
    network = Network(gate_open=False)
    async with batching(network) as batcher:

        async def call() -> int:
            return await batcher.submit(1, LATER)

        caller = asyncio.create_task(call())
        await network.started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller


async def test_a_full_queue_refuses_and_settled_items_make_room() -> None:
    now = 0.0
    network = Network(gate_open=False)
    async with batching(network, queue_max=2, clock=lambda: now) as batcher:
        running = batcher.submit(1, Deadline(100))
        await network.started.wait()
        expiring, leaving = batcher.submit(2, Deadline(5)), batcher.submit(3, Deadline(100))
        with pytest.raises(Overloaded):
            batcher.submit(4, Deadline(100))
        now = 6.0
        leaving.cancel()
        more = [batcher.submit(5, Deadline(100)), batcher.submit(6, Deadline(100))]
        with pytest.raises(DeadlineExceeded):
            await expiring
        with pytest.raises(Overloaded):
            batcher.submit(7, Deadline(100))
        network.gate.set()
        assert await asyncio.gather(running, *more) == [2, 10, 12]


async def test_waiting_for_more_ends_when_the_batch_is_full() -> None:
    network = Network()
    async with batching(network, wait_ms=3_600_000, batch_max=2) as batcher:
        first = batcher.submit(1, Deadline.after_ms(36_000_000))
        for _ in range(5):
            await asyncio.sleep(0)
        assert network.runs == []
        assert await asyncio.gather(first, batcher.submit(2, LATER)) == [2, 4]
    assert len(network.runs) == 1


async def test_waiting_for_more_leaves_the_urgent_time_to_run() -> None:
    network = Network()
    async with batching(network, wait_ms=3_600_000) as batcher:
        assert await batcher.submit(1, Deadline.after_ms(2_000)) == 2


async def test_closing_settles_what_runs_and_what_waits() -> None:
    network = Network(gate_open=False)
    async with batching(network, batch_max=1) as batcher:
        futures = [batcher.submit(n, LATER) for n in range(3)]
        await network.started.wait()
        await batcher.close()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(result) for result in results] == [NotReady] * 3
        with pytest.raises(NotReady):
            batcher.submit(9, LATER)


async def test_closing_before_the_first_turn_of_the_loop_settles_too() -> None:
    batcher: Batcher[int, int] = Batcher(Network(), batch_max=1, queue_max=1)
    batcher.start()
    future = batcher.submit(1, LATER)
    await batcher.close()
    with pytest.raises(NotReady):
        await future
