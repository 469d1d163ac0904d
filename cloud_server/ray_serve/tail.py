"""A tail that is run by replicas elsewhere, behind the interface of one that is run here.

    submit, submit, ... -> one call -> [replica: batcher -> network] -> one result per future

What is submitted in the same turn of the event loop, such as the faces of one frame, goes as one
call: a call between processes costs about as much as a face.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from splitfer.cloud_server.inference.batch_observer import BatchObserver
from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.inference.tail import RateTable, ServedTail, TailAnswer
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import InferenceFailed, NotReady, SplitFerError

log = logging.getLogger(__name__)

Result = TailAnswer | SplitFerError
# Faces, and the milliseconds that each has left -> a result each, in order.
Run = Callable[[list[Face], list[float]], Awaitable[Sequence[Result]]]


@dataclass(frozen=True, eq=False)
class _Waiting:
    face: Face
    deadline: Deadline
    future: asyncio.Future[TailAnswer]
    since_s: float = field(default_factory=time.monotonic)


class RemoteTail(ServedTail):
    """The tail ``model`` where ``run`` reaches it. Belongs to one event loop.

    ``run`` raises a ``SplitFerError`` that all its faces get; any other error is logged and
    becomes ``InferenceFailed``. A call that nobody waits for any more is cancelled.
    """

    def __init__(self, model: str, rates: RateTable, run: Run, faces_max: int) -> None:
        self.model = model
        self.rates = rates
        self._remote = run
        self._faces_max = faces_max
        self._gathered: list[_Waiting] = []
        self._calls: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._closed = False

    def warm_up(self) -> None:
        """Nothing to learn: the replicas do."""

    def start(self, watch: BatchObserver | None = None) -> None:
        """Nothing to begin, and no batch to watch: the replicas run already."""

    def submit(self, face: Face, deadline: Deadline) -> asyncio.Future[TailAnswer]:
        """Send one face with this turn's others; cancel the future to withdraw it.

        Raises:
            NotReady: closed.
        """
        self.check_capacity(deadline)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[TailAnswer] = loop.create_future()
        if not self._gathered:
            loop.call_soon(self._send)
        self._gathered.append(_Waiting(face, deadline, future))
        return future

    def check_capacity(self, deadline: Deadline) -> None:
        """Return where ``submit`` would take a face now; the replicas may still refuse it.

        Raises:
            NotReady: closed.
        """
        if self._closed:
            raise NotReady("the server is stopping")

    @property
    def batch_max(self) -> int:
        """How many faces one call takes at the most."""
        return self._faces_max

    @property
    def waiting(self) -> int:
        """How many faces have no answer yet, here or in a replica."""
        return len(self._without_answer())

    @property
    def oldest_ms(self) -> float:
        """How long the oldest of them has waited."""
        since_s = min((one.since_s for one in self._without_answer()), default=None)
        return 0.0 if since_s is None else (time.monotonic() - since_s) * 1000

    async def close(self) -> None:
        """Stop; what has no answer yet raises ``NotReady``."""
        self._closed = True
        for one in self._gathered:
            _settle(one.future, NotReady("the server is stopping"))
        self._gathered = []
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    def _without_answer(self) -> list[_Waiting]:
        sent = itertools.chain.from_iterable(self._calls.values())
        return [one for one in (*self._gathered, *sent) if not one.future.done()]

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        for first in range(0, len(gathered), self._faces_max):
            waiting = gathered[first : first + self._faces_max]
            # A context of its own: Ray ends the calls that a request made with the request, and
            # this one is made for several.
            call = asyncio.get_running_loop().create_task(
                self._call(waiting), context=contextvars.Context()
            )
            self._calls[call] = waiting
            call.add_done_callback(self._calls.pop)

    async def _call(self, waiting: list[_Waiting]) -> None:
        futures = [one.future for one in waiting]
        this = asyncio.current_task()
        assert this is not None

        def unwanted(_: object) -> None:
            if all(future.done() for future in futures):
                this.cancel()

        for future in futures:
            future.add_done_callback(unwanted)
        try:
            results = await self._remote(
                [one.face for one in waiting],
                [one.deadline.remaining_ms() for one in waiting],
            )
            if len(results) != len(waiting):
                raise RuntimeError(f"{len(results)} results for {len(waiting)} faces")
        except asyncio.CancelledError:
            results = [NotReady("the server is stopping")] * len(waiting)
        except SplitFerError as error:
            results = [error] * len(waiting)
        except Exception:
            log.exception("a tail replica failed")
            results = [InferenceFailed("the network failed on this face")] * len(waiting)
        for future in futures:
            future.remove_done_callback(unwanted)
        for future, result in zip(futures, results, strict=True):
            _settle(future, result)


def _settle(future: asyncio.Future[TailAnswer], result: Result) -> None:
    if future.done():
        return
    if isinstance(result, SplitFerError):
        future.set_exception(result)
        future.exception()  # marks it as seen: its owner may have gone, and need not ask
    else:
        future.set_result(result)
