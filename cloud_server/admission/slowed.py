"""Callers whose large messages are refused: the next ones are read more slowly."""

from __future__ import annotations

import asyncio
import time

from splitfer.cloud_server.admission.turns import Turns
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import Overloaded

# Below the first a message costs no more to read than its call does; from there on it counts as the
# second at the least.
LARGE_BYTES, _LEAST_BYTES = 2**16, 2**20
# Ten times what the event loop takes to read them, at 2 ms for each MiB.
_S_PER_BYTE = 0.02 / 2**20
# Between two messages of callers that had to wait, so that the first may be judged meanwhile, and
# the longest that one may have to.
_GAP_S, _LONGEST_S = 0.005, 2.0


class SlowedCallers:
    """A large message takes the event loop's time before anybody can say that it is no good. Whose
    are refused waits before his next one is read. Belongs to one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}
        self._turns = Turns(_GAP_S)

    def refused(self, caller: str, size: int) -> None:
        """A message of so many bytes was no good, or none of it could be answered."""
        if size >= LARGE_BYTES:
            now_s = self._clock()
            self._until_s = {one: until for one, until in self._until_s.items() if until > now_s}
            costs_s = max(size, _LEAST_BYTES) * _S_PER_BYTE
            self._until_s[caller] = self._until_s.get(caller, now_s) + costs_s

    async def wait(self, caller: str) -> None:
        """Return when the next message of the caller may be read.

        Raises:
            Overloaded: that is too long to wait; after the longest that one may, since who is
                refused at once may come again at once.
        """
        gives_up_s = self._clock() + _LONGEST_S
        while (left_s := self._left_s(caller)) > 0:
            patience_s = gives_up_s - self._clock()
            await asyncio.sleep(max(0.0, min(left_s, patience_s)))
            if left_s > patience_s:
                raise Overloaded("large messages of this caller were refused; it has to wait")
            # Waiting makes the wait no longer: who asks all the time would wait for ever.
            await self._turns.turn(caller)

    def _left_s(self, caller: str) -> float:
        return self._until_s.get(caller, 0.0) - self._clock()
