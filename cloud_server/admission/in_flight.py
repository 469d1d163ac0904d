"""Requests that were let in and have no answer yet."""

from __future__ import annotations

import asyncio


class InFlight:
    """``with in_flight:`` around each. Belongs to one event loop; a class, since a generator's
    context costs some four times as much, and every call passes through several."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def enter(self) -> None:
        """Count one more request; ``leave`` once it has its answer."""
        self.count += 1
        self._none.clear()

    def leave(self) -> None:
        """Count one request less."""
        self.count -= 1
        if not self.count:
            self._none.set()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def none(self) -> None:
        """Return once no request is in flight."""
        await self._none.wait()
