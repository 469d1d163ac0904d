"""``InferStream``: many frames' latents on one call that stays open.

    read -> faces under way -> answers in the order in which they are ready -> written one by one
         `- refused at once, where there is no time for them

A message has no task of its own: callbacks lead it from one step to the next.

It reads no further while as many messages as may be in flight have no answer yet, so that a caller
which sends faster than it is served, or does not read, is held up by the connection itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.admission import Admission, Admitted, Caller
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.admission.standing_queue import StreamOverloadGuard
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.admission.transit import TransitDelay
from splitfer.cloud_server.grpc_api.replies import fill
from splitfer.cloud_server.inference.pending_faces import PendingFaces
from splitfer.cloud_server.inference.tail import TailAnswer
from splitfer.cloud_server.protocol.choices import wanted_labels
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import Request, set_error
from splitfer.cloud_server.weights.target import Target
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import MalformedPayload, Overloaded, SplitFerError, unexpected_error
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.wire import DEADLINE_MS_MAX, TRACEPARENT

_METHOD = "splitfer.v1.SplitFer/InferStream"
log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True, eq=False)
class _Message:
    """One that was let in: what it asks, its answer to be, and what counts it until then."""

    asked: pb.InferRequest
    request: Request
    answer: pb.InferStreamResponse
    counts: tuple[Admitted | InFlight | _Bytes, ...]

    def leave(self) -> None:
        """Count it as done: it is answered, or nobody waits for it."""
        for count in self.counts:
            count.leave()


@dataclass(slots=True, eq=False)
class _Bytes:
    """What one takes of the budget of its caller."""

    budget: ByteBudget
    owner: str
    size: int

    def leave(self) -> None:
        """Give the bytes back."""
        self.budget.give_back(self.owner, self.size)


class InferStreams:
    """The streams that are open. ``in_flight_max`` messages of each may be in flight; 0: no stream
    is offered."""

    def __init__(
        self, service: Service, admission: Admission, observer: Observer, budget: ByteBudget,
        deadline_ms: float, in_flight_max: int,
    ) -> None:  # fmt: skip
        self._service, self._admission, self._observer = service, admission, observer
        self._budget = budget
        self._deadline_ms, self.in_flight_max = deadline_ms, in_flight_max
        self._open: set[InferStream] = set()

    async def run(self, context: Context) -> None:
        """Serve one until the caller or ``drain`` ends it.

        Raises:
            AuthError, Forbidden: the caller may not ask.
            NotReady: the server is starting or draining.
            MalformedPayload: see ``InferStream.run``.
        """
        caller = grpc_caller(self._admission, context, Scope.INFER)
        self._admission.health.request()  # starting or draining
        stream = InferStream(
            self._service, caller, self._observer, self._budget, self._deadline_ms, context,
            self.in_flight_max,
        )  # fmt: skip
        self._open.add(stream)
        try:
            await stream.run()
        finally:
            self._open.discard(stream)

    def drain(self) -> None:
        """They end once what they have read is answered."""
        for stream in self._open:
            stream.drain()


class InferStream:
    """One open stream, of a caller that was let in already. ``most`` messages may be in flight."""

    def __init__(
        self, service: Service, caller: Caller, observer: Observer, budget: ByteBudget,
        deadline_ms: float, context: Context, most: int,
    ) -> None:  # fmt: skip
        self._service, self._caller, self._observer = service, caller, observer
        self._budget = budget
        self._deadline_ms, self._context, self._most = deadline_ms, context, most
        self._under_way: dict[_Message, PendingFaces[TailAnswer]] = {}
        self._answers: deque[pb.InferStreamResponse] = deque()
        self._in_flight = 0
        self._transit, self._queue = TransitDelay(), StreamOverloadGuard()
        self._draining = asyncio.Event()
        self._room = asyncio.Event()
        self._ready = asyncio.Event()

    def drain(self) -> None:
        """Read no more; what was read is answered, and the stream ends well."""
        self._draining.set()

    async def run(self) -> None:
        """Serve until the caller or ``drain`` ends it.

        Raises:
            MalformedPayload: something that is no message came; those before it are answered.
        """
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        draining = asyncio.create_task(self._draining.wait())
        try:
            waits = (reading, writing, draining)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            while self._in_flight and not writing.done():
                self._room.clear()
                room = asyncio.create_task(self._room.wait())
                await asyncio.wait((writing, room), return_when=asyncio.FIRST_COMPLETED)
                room.cancel()
        finally:
            for task in (reading, writing, draining):
                task.cancel()
            self._hang_up()
            await asyncio.gather(reading, writing, draining, return_exceptions=True)
        if not reading.cancelled() and reading.exception() is not None:
            error = reading.exception()
            if isinstance(error, SplitFerError):
                raise error
            raise MalformedPayload("a message cannot be read: it is not of this method's type")

    async def _read(self) -> None:
        while True:
            while self._in_flight >= self._most:
                self._room.clear()
                await self._room.wait()
            message = await self._context.read()
            if message is grpc.aio.EOF:
                return
            self._in_flight += 1
            self._take(message)

    def _take(self, said: pb.InferStreamRequest) -> None:
        headers = {TRACEPARENT: said.traceparent} if said.traceparent else {}
        request = self._observer.begin("grpc", _METHOD, headers)
        request.received_bytes = said.ByteSize()
        answer = pb.InferStreamResponse(id=said.id)
        asked = said.request
        try:
            self._caller.judge_anew()  # before a word of what is served, or of how busy it is
            deadline = self._deadline(said)
            labels = wanted_labels(asked.labels)
            target = self._service.admit(asked.fingerprint, asked.tail, deadline, labels)
            message = self._let_in(asked, target, request, answer)
            try:
                self._under_way[message] = self._service.begin(
                    target, asked.payloads, deadline, partial(self._answered, message)
                )
            except BaseException:
                message.leave()
                raise
        except Exception as error:
            self._refuse(answer, error)
            self._end(request, answer)

    def _let_in(
        self,
        asked: pb.InferRequest,
        target: Target,
        request: Request,
        answer: pb.InferStreamResponse,
    ) -> _Message:
        held = _Bytes(self._budget, current_account().key, request.received_bytes)
        self._budget.take(held.owner, held.size)
        try:
            admitted, of_weights = self._caller.request(), target.weights.request()
        except BaseException:
            held.leave()
            raise
        of_weights.enter()
        return _Message(asked, request, answer, (admitted, of_weights, held))

    def _answered(self, message: _Message, inferred: Inferred) -> None:
        del self._under_way[message]
        message.leave()
        try:
            fill(message.answer.response, message.asked.payloads, inferred)
        except Exception as error:
            self._refuse(message.answer, error)
        self._end(message.request, message.answer)

    def _hang_up(self) -> None:
        """The caller has gone: its faces are withdrawn."""
        for message, faces in self._under_way.items():
            faces.withdraw()
            message.leave()
            message.request.code = "hung_up"
            self._observer.end(message.request)
        self._under_way.clear()

    async def _write(self) -> None:
        while True:
            while not self._answers:
                self._ready.clear()
                await self._ready.wait()
            await self._context.write(self._answers[0])
            self._answers.popleft()
            self._in_flight -= 1
            self._room.set()

    def _end(self, request: Request, answer: pb.InferStreamResponse) -> None:
        request.sent_bytes = answer.ByteSize()
        self._observer.end(request)
        self._answers.append(answer)
        self._ready.set()

    def _refuse(self, answer: pb.InferStreamResponse, error: Exception) -> None:
        if not isinstance(error, SplitFerError):
            log.error("a message of a stream failed", exc_info=error)
            error = unexpected_error()
        set_error(error.code)
        answer.error.code, answer.error.message = error.code, str(error)
        answer.error.retryable = error.retryable

    def _deadline(self, message: pb.InferStreamRequest) -> Deadline:
        given_ms = message.deadline_ms
        if not 0 <= given_ms <= DEADLINE_MS_MAX:  # nor is it a number
            raise MalformedPayload(f"deadline_ms is from 0 to {DEADLINE_MS_MAX}")
        given_ms = given_ms or self._deadline_ms
        now_ms = time.monotonic() * 1000
        held_up_ms = self._transit.held_up_ms(message.sent_ms, now_ms)
        if self._queue.refuses(held_up_ms, given_ms, now_ms):
            raise Overloaded("more messages than are read wait on this stream")
        return Deadline.after_ms(given_ms - held_up_ms)
