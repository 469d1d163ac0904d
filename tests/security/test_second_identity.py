"""One identity at its limit costs another at most a factor of two in the median, and no failures.

What the network does is played on a clock of its own, so that nothing here depends on the machine;
``make attack`` says what real servers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from statistics import median

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splitfer.cloud_server.admission.account import Account, work_for
from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.inference.batch_time import BatchTime
from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import Overloaded

HONEST, HOSTILE = (Account(n, RateLimiter(CallerLimits())) for n in ("honest", "hostile"))
FACES = 25  # an odd number, so that the median is one of them
QUEUE_MAX = 64
# Of the event loop: more than any of these take.
TURNS_MAX = 2_000


class Network:
    """A batcher whose runs take ``fixed + each * faces`` on a clock of its own.

    The honest caller sends a face ``share`` of a run after its start, for each of evenly spread
    shares; the hostile one, where there is one, has as many faces waiting as it may.
    """

    def __init__(self, fixed_s: float, each_s: float, batch_max: int, frame: int) -> None:
        self.now_s, self._fixed_s, self._each_s = 0.0, fixed_s, each_s
        self._frame = frame
        times = BatchTime(lambda: self.now_s)
        for size in (1, 2, 4, 8, 16, 32):
            times.learn(size, self.takes_s(size))
        self._batcher: Batcher[str, str] = Batcher(
            self._run,
            batch_max=batch_max,
            queue_max=QUEUE_MAX,
            times=times,
            clock=lambda: self.now_s,
        )
        self._attacked = False
        self._shares = [(number + 0.5) / FACES for number in range(FACES)]
        self.latencies_s: list[float] = []

    def takes_s(self, faces: int) -> float:
        return self._fixed_s + self._each_s * faces

    def _submit(self, owner: Account, name: str, within_s: float) -> asyncio.Future[str]:
        def submit() -> asyncio.Future[str]:
            work_for(owner)
            return self._batcher.submit(name, Deadline(self.now_s + within_s))

        return copy_context().run(submit)

    def _fill(self) -> None:
        """The hostile caller's frames, until no more of it is taken."""
        try:
            while True:
                for _ in range(self._frame):
                    self._submit(HOSTILE, "hostile", 60.0)
        except Overloaded:
            pass

    def _face(self) -> None:
        """One more of the honest caller's."""
        future = self._submit(HONEST, "honest", max(0.5, 20 * self.takes_s(1)))
        came_s = self.now_s
        future.add_done_callback(lambda done: self._done(came_s, done))

    def _done(self, came_s: float, future: asyncio.Future[str]) -> None:
        assert future.exception() is None, future.exception()
        self.latencies_s.append(self.now_s - came_s)

    async def _run(self, names: list[str]) -> Sequence[str]:
        await asyncio.sleep(0)  # those of the last run are told before time goes on
        start_s, took_s = self.now_s, self.takes_s(len(names))
        if self._attacked and "honest" not in names and self._shares:
            self.now_s = start_s + self._shares.pop() * took_s
            self._face()
        self.now_s = start_s + took_s
        if self._attacked:
            self._fill()
        return names

    async def alone(self) -> float:
        """The median where nobody else asks."""
        self._batcher.start()
        for _ in range(FACES):
            self._face()
            await self._settled(len(self.latencies_s) + 1)
        await self._batcher.close()
        return median(self.latencies_s)

    async def attacked(self) -> float:
        """The same beside the hostile caller."""
        self._face()  # it has asked lately
        self._attacked = True
        self._fill()
        self._batcher.start()
        await self._settled(FACES + 1)
        await self._batcher.close()
        return median(self.latencies_s[1:])

    async def _settled(self, faces: int) -> None:
        for _ in range(TURNS_MAX):
            if len(self.latencies_s) >= faces:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.latencies_s)} of {faces} faces were answered")


MS = st.integers(0, 40).map(lambda ms: ms / 1000)


@example(fixed_s=0.011, each_s=0.0001, batch_max=0, frame=1)
@settings(max_examples=60)
@given(fixed_s=MS, each_s=MS, batch_max=st.integers(0, 40), frame=st.integers(1, 32))
def test_faces(fixed_s: float, each_s: float, batch_max: int, frame: int) -> None:
    each_s = max(each_s, 1e-4)

    async def both() -> tuple[float, float]:
        alone = Network(fixed_s, each_s, batch_max, frame)
        attacked = Network(fixed_s, each_s, batch_max, frame)
        return await alone.alone(), await attacked.attacked()

    alone_s, attacked_s = asyncio.run(both())
    assert alone_s == pytest.approx(fixed_s + each_s)
    assert attacked_s <= 2 * alone_s * (1 + 1e-6)
