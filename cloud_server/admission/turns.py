"""Turns of those who cost the loop time, and are many: it has time for others."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

# Of a loop, a fraction of a millisecond goes into each piece of a file.
EVERY_S = 0.001
# Those who wait: each is a call or a connection that is kept. Beyond, nobody waits.
MOST = 8192
# Of one address: so many may be served before their turns, which are then taken afterwards.
FIRST = 8


class Turns:
    """One turn at a time, ``every_s`` after the one before. Those who wait go by address in a
    ring, and by when they came within one. Belongs to one loop."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0
        self._next: asyncio.TimerHandle | None = None

    async def turn(self, address: str) -> None:
        """Return once it is the turn of the caller, who comes from there; at once where ``MOST``
        wait."""
        if (mine := self._place(address)) is not None:
            await mine

    def is_crowd(self, address: str) -> bool:
        """Whether ``FIRST`` of an address wait: one more is served when it is its turn."""
        return len(self._lines.get(address, ())) >= FIRST

    def owe(self, address: str) -> None:
        """Note that one was served whose turn is yet to come, and who waits for it no more."""
        self._place(address)

    def _place(self, address: str) -> asyncio.Future[None] | None:
        if self._waiting >= MOST:
            return None
        self._waiting += 1
        mine = asyncio.get_running_loop().create_future()
        self._lines.setdefault(address, deque()).append(mine)
        if self._next is None:
            self._go_on()
        return mine

    def _go_on(self) -> None:
        self._next = None
        while self._lines and self._next is None:
            address, line = self._lines.popitem(last=False)
            first = line.popleft()
            self._waiting -= 1
            if line:
                self._lines[address] = line
            if not first.done():  # else it has gone
                first.set_result(None)
                self._next = first.get_loop().call_later(self._every_s, self._go_on)
