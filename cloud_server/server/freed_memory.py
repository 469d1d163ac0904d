"""What callers held goes back to the machine: glibc keeps what was freed, in pieces between what is
in use, for as long as nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import sys
from collections.abc import Callable

# Worth the tenth of a second that giving back takes.
MUCH_BYTES = 32 * 2**20
_EVERY_S = 15.0


class FreedMemory:
    """Has ``trim`` give memory back once callers hold at most half of the much that they held."""

    def __init__(self, held: Callable[[], int], trim: Callable[[], object]) -> None:
        self._held, self._trim = held, trim
        self._most = 0

    def look(self) -> None:
        """Look once."""
        now = self._held()
        self._most = max(self._most, now)
        if self._most >= MUCH_BYTES and now <= self._most // 2:
            self._trim()
            self._most = now


async def giving_back(held: Callable[[], int]) -> None:
    """Look now and then at the bytes that callers have ``held``, until cancelled; nothing where the
    C library is not glibc. In a thread: the event loop goes on meanwhile."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        trim = ctypes.CDLL(None).malloc_trim
        freed = FreedMemory(held, lambda: trim(0))
        while True:
            await asyncio.sleep(_EVERY_S)
            await asyncio.to_thread(freed.look)
