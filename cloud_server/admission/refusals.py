"""Refusals for lack of time or room: each is cheap, and a flood of them is not."""

from __future__ import annotations

import time
from collections import Counter

from splitfer.cloud_server.admission.recent_callers import RecentCallers
from splitfer.cloud_server.admission.turns import Turns
from splitfer.shared.deadline import Clock

# A caller's in a second that take no turn, more than a camera asks, and for each answer as many
# again: a fleet may ask too much. Then one in so long.
FREE_PER_S, FREE_PER_ANSWER, _EVERY_S = 100, 4, 0.002


class Refusals:
    """Who is refused all the time has to wait for the next refusal if others ask meanwhile: theirs
    is the event loop's time. All others are refused at once, since who knows early does without.
    Belongs to one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._turns = clock, Turns(_EVERY_S)
        self._callers = RecentCallers(clock)
        self._counts, self._since_s = Counter[str](), clock()

    def asked(self, caller: str) -> None:
        """One asks now."""
        self._callers.asked(caller)

    def answered(self, caller: str) -> None:
        """One is answered."""
        self._count(caller, -FREE_PER_ANSWER)

    async def turn(self, caller: str) -> None:
        """Return when one more of the caller's requests may be refused."""
        self._count(caller, 1)
        if self._counts[caller] > FREE_PER_S and any(one != caller for one in self._callers):
            await self._turns.turn(caller)

    def _count(self, caller: str, much: int) -> None:
        now_s = self._clock()
        if now_s - self._since_s >= 1:
            self._counts, self._since_s = Counter[str](), now_s
        self._counts[caller] += much
