"""A stream of frames' latents, whatever carries it.

    read -> judged -> faces under way -> replies in the order in which they are ready -> written
                `- refused at once, where there is no time for them

A message has no task of its own: callbacks lead it from one step to the next.

It reads no further while as many messages as may be in flight have no reply that was taken, so that
a caller which sends faster than it is served, or does not read, is held up by the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from splitfer.cloud_server.admission.admission import Admitted, Caller
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.admission.slowed import LARGE_BYTES
from splitfer.cloud_server.admission.standing_queue import StreamOverloadGuard
from splitfer.cloud_server.admission.transit import TransitDelay
from splitfer.cloud_server.inference.pending_faces import PendingFaces
from splitfer.cloud_server.inference.tail import TailAnswer
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.service.stream_wire import Asked, End, Message, Wire
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import Request
from splitfer.cloud_server.weights.target import Target
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    MalformedPayload,
    Overloaded,
    SplitFerError,
    is_callers_fault,
    unexpected_error,
)
from splitfer.shared.wire import DEADLINE_MS_MAX

# Of a face's result in the largest form that a reply has, JSON.
_RESULT_BYTES = 384
log = logging.getLogger(__name__)


ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True)
class StreamBounds:
    """``in_flight`` messages may have no reply yet; ``deadline_ms`` is that of messages that name
    none."""

    in_flight: int
    deadline_ms: float


@dataclass(slots=True, eq=False)
class _LetIn(Generic[ReplyT]):
    """A message that was let in: what counts it until its answer, and, until that is taken, what it
    holds of the memory for callers."""

    message: Message[ReplyT]
    request: Request
    held: Held
    counts: tuple[Admitted | InFlight, ...]

    def leave(self) -> None:
        """It is answered, or nobody waits for it."""
        for count in self.counts:
            count.leave()


class FrameStream(Generic[ReplyT]):
    """One open stream, of a caller that was let in already."""

    def __init__(
        self,
        service: Service,
        caller: Caller,
        observer: Observer,
        budget: ByteBudget,
        bounds: StreamBounds,
        wire: Wire[ReplyT],
    ) -> None:
        self._service, self._caller, self._observer = service, caller, observer
        self._budget, self._bounds, self._wire = budget, bounds, wire
        self._under_way: dict[_LetIn[ReplyT], PendingFaces[TailAnswer]] = {}
        self._replies: deque[tuple[ReplyT, Held | None]] = deque()
        self._in_flight = 0
        self._owed = 0  # turns, for messages that were worth nothing
        self._refused = False  # the last one: there was no time or room for it
        self._transit, self._queue = TransitDelay(), StreamOverloadGuard()
        self._draining, self._room, self._ready = (asyncio.Event() for _ in range(3))

    def drain(self) -> None:
        """Read no more; what was read is answered, and the stream ends well."""
        self._draining.set()

    async def run(self) -> End:
        """Serve until it ends; what was read before is answered, unless nobody takes it.

        Raises:
            SplitFerError: what ``Wire.read`` raised.
        """
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        draining = asyncio.create_task(self._draining.wait())
        try:
            waits = (reading, writing, draining)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            end = reading.result() if reading.done() else End.DRAINED
            while end is not End.GONE and self._in_flight and not writing.done():
                self._room.clear()
                room = asyncio.create_task(self._room.wait())
                await asyncio.wait((writing, room), return_when=asyncio.FIRST_COMPLETED)
                room.cancel()
        finally:
            for task in (reading, writing, draining):
                task.cancel()
            self._hang_up()
            await asyncio.gather(reading, writing, draining, return_exceptions=True)
        if not writing.cancelled():
            return End.GONE
        if isinstance(end, SplitFerError):
            raise end
        return end

    async def _read(self) -> End | SplitFerError:
        while True:
            while self._in_flight >= self._bounds.in_flight:
                self._room.clear()
                await self._room.wait()
            try:
                message = await self._wire.read()
            except SplitFerError as error:
                return error
            if isinstance(message, End):
                if message is End.IDLE and self._in_flight:
                    continue
                return message
            self._in_flight += 1
            self._take(message)
            while self._owed:
                self._owed -= 1
                await self._caller.pay_for_nothing()
            if self._refused:
                self._refused = False
                await self._caller.pay_for_nothing(at_fault=False)

    def _take(self, message: Message[ReplyT]) -> None:
        request = self._observer.begin(self._wire.protocol, self._wire.method, message.headers)
        request.received_bytes = message.size_bytes
        try:
            self._caller.judge_anew()  # before a word of what is served, or of how busy it is
            asked = message.asked()
            deadline = self._deadline(message)
            target = self._service.check_capacity(
                asked.fingerprint, asked.tail, deadline, asked.labels
            )
            let_in = self._let_in(message, asked, target, request)
            try:
                self._under_way[let_in] = self._service.start_infer(
                    target, asked.payloads, deadline, partial(self._answered, let_in)
                )
            except BaseException:
                let_in.leave()
                let_in.held.leave()
                raise
        except Exception as error:
            self._refuse(message, request, error, None)
            at_fault = is_callers_fault(error) or message.size_bytes >= LARGE_BYTES
            self._owed += at_fault
            self._refused = not at_fault

    def _let_in(
        self, message: Message[ReplyT], asked: Asked, target: Target, request: Request
    ) -> _LetIn[ReplyT]:
        size = message.size_bytes + _RESULT_BYTES * len(asked.payloads)
        held = Held(self._budget, self._caller.account.key, size)
        try:
            admitted, of_weights = self._caller.request(), target.weights.request()
        except BaseException:
            held.leave()
            raise
        of_weights.enter()
        return _LetIn(message, request, held, (admitted, of_weights))

    def _answered(self, let_in: _LetIn[ReplyT], inferred: Inferred) -> None:
        del self._under_way[let_in]
        let_in.leave()
        # It brought nothing to answer: no face, or none that can be read.
        at_fault = all(map(is_callers_fault, inferred.results))
        self._owed += at_fault
        nothing = all(isinstance(one, SplitFerError) for one in inferred.results)
        self._refused = nothing and not at_fault
        if not nothing:
            self._caller.answered()
        try:
            reply = let_in.message.answer(inferred)
        except Exception as error:
            self._refuse(let_in.message, let_in.request, error, let_in.held)
        else:
            self._end(let_in.request, reply, let_in.held)

    def _hang_up(self) -> None:
        """The caller has gone: its faces are withdrawn."""
        for let_in, faces in self._under_way.items():
            faces.withdraw()
            let_in.leave()
            let_in.held.leave()
            let_in.request.code = "hung_up"
            self._observer.end(let_in.request)
        self._under_way.clear()
        for _, held in self._replies:
            if held is not None:
                held.leave()
        self._replies.clear()

    async def _write(self) -> None:
        while True:
            while not self._replies:
                self._ready.clear()
                await self._ready.wait()
            reply, held = self._replies[0]
            await self._wire.write(reply)
            self._replies.popleft()
            if held is not None:
                held.leave()
            self._in_flight -= 1
            self._room.set()

    def _refuse(
        self, message: Message[ReplyT], request: Request, error: Exception, held: Held | None
    ) -> None:
        if not isinstance(error, SplitFerError):
            log.error("a message of a stream failed", exc_info=error)
            error = unexpected_error()
        request.code = error.code
        self._end(request, message.refusal(error), held)

    def _end(self, request: Request, reply: tuple[ReplyT, int], held: Held | None) -> None:
        said, request.sent_bytes = reply
        self._observer.end(request)
        self._replies.append((said, held))
        self._ready.set()

    def _deadline(self, message: Message[ReplyT]) -> Deadline:
        given_ms = message.deadline_ms
        if not 0 <= given_ms <= DEADLINE_MS_MAX:  # nor is it a number
            raise MalformedPayload(f"deadline_ms is from 0 to {DEADLINE_MS_MAX}")
        given_ms = given_ms or self._bounds.deadline_ms
        now_ms = time.monotonic() * 1000
        held_up_ms = self._transit.held_up_ms(message.sent_ms, now_ms)
        if self._queue.refuses(held_up_ms, given_ms, now_ms):
            raise Overloaded("more messages than are read wait on this stream")
        return Deadline.after_ms(given_ms - held_up_ms)


class OpenStreams:
    """Those that are open, so that a drain can end them."""

    def __init__(self) -> None:
        self._open: set[FrameStream[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def holding(self, stream: FrameStream[Any]) -> Iterator[None]:
        """It is open meanwhile."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """They end once what they have read is answered."""
        for stream in self._open:
            stream.drain()
