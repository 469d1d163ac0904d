"""What becomes of the faces of one request: a result or an error each, by the deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, ServeError, SplitFerError, unexpected_error

Item = TypeVar("Item")
T = TypeVar("T")
log = logging.getLogger(__name__)


class PendingFaces(Generic[T]):
    """Faces under way, or refused already. ``done`` is called once, from the event loop, when the
    last one is settled or the deadline has passed; not after ``withdraw``.

    A callback, not a coroutine: every message of a stream pays for it.
    """

    def __init__(
        self,
        faces: Sequence[asyncio.Future[T] | SplitFerError],
        deadline: Deadline,
        done: Callable[[], None],
    ) -> None:
        self._faces, self._done = faces, done
        self._futures = [face for face in faces if not isinstance(face, SplitFerError)]
        self._left = len(self._futures)
        for future in self._futures:
            future.add_done_callback(self._settled)
        left_s = max(0.0, deadline.remaining_ms()) / 1000 if self._futures else 0.0
        self._timer = asyncio.get_running_loop().call_later(left_s, self._end)

    def withdraw(self) -> None:
        """Cancel them: nobody waits for them any more."""
        self._left = 0
        self._timer.cancel()
        self._cancel()

    @property
    def results(self) -> list[T | SplitFerError]:
        """The result of each face, in order, once all are done."""
        results: list[T | SplitFerError] = []
        for face in self._faces:
            if isinstance(face, SplitFerError):
                results.append(face)
            else:
                result = _result(face)
                results.append(result)
        return results

    def _settled(self, _: asyncio.Future[T]) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                self._timer.cancel()
                self._done()

    def _end(self) -> None:
        self._left = 0
        self._cancel()  # what is late
        self._done()

    def _cancel(self) -> None:
        for future in self._futures:
            future.cancel()


async def gather_faces(
    faces: Sequence[asyncio.Future[T] | SplitFerError], deadline: Deadline
) -> list[T | SplitFerError]:
    """The results of ``PendingFaces``, waited for; cancelled, the faces are withdrawn."""
    done = asyncio.Event()
    settling = PendingFaces(faces, deadline, done.set)
    try:
        await done.wait()
    finally:
        settling.withdraw()
    return settling.results


def submitted(
    item: Item, submit: Callable[[Item, Deadline], asyncio.Future[T]], deadline: Deadline
) -> asyncio.Future[T] | SplitFerError:
    """What ``submit`` makes of ``item``, or the error that it refuses it with."""
    try:
        return submit(item, deadline)
    except ServeError as error:
        return error


def _result(future: asyncio.Future[T]) -> T | SplitFerError:
    if future.cancelled():
        return DeadlineExceeded("the deadline passed before the network answered")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, SplitFerError):
        return error
    log.error("a face failed", exc_info=error)
    return unexpected_error()
