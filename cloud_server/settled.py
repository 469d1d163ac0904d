"""What became of the faces of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, SplitFerError

T = TypeVar("T")


async def settled_all(
    waiting: Sequence[asyncio.Future[T] | SplitFerError], deadline: Deadline
) -> list[T | SplitFerError]:
    """A result or an error each, by the deadline; what was refused already stays what it is."""
    futures = [entry for entry in waiting if isinstance(entry, asyncio.Future)]
    try:
        if futures:
            await _all_done(futures, deadline)
    finally:
        for future in futures:
            future.cancel()  # withdraws what is late, or whose caller has gone
    results: list[T | SplitFerError] = []
    for entry in waiting:
        if isinstance(entry, asyncio.Future):
            result = _result(entry)
            results.append(result)
        else:
            results.append(entry)
    return results


async def _all_done(futures: Sequence[asyncio.Future[T]], deadline: Deadline) -> None:
    """Return when all are done or the deadline has passed: ``asyncio.wait`` at half its cost, which
    every call pays."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    left = len(futures)

    def end() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def done(_: asyncio.Future[T]) -> None:
        nonlocal left
        left -= 1
        if not left:
            end()

    for future in futures:
        future.add_done_callback(done)
    timer = loop.call_later(max(0.0, deadline.remaining_ms()) / 1000, end)
    try:
        await waiter
    finally:
        timer.cancel()


def _result(future: asyncio.Future[T]) -> T | SplitFerError:
    if future.cancelled():
        return DeadlineExceeded("the deadline passed before the network answered")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, SplitFerError):
        return error
    raise error
