"""One WebSocket of latents: many frames on a connection that stays open.

    read -> faces under way -> replies in the order in which they are ready -> sent one by one
         `- refused at once, where there is no time for them

It reads no further while as many messages as may be in flight have no reply that was taken, so that
a caller which sends faster than it is served, or does not read, is held up by the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from starlette.types import Receive, Send

from splitfer.cloud_server.admission.admission import Admitted, Caller
from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.admission.standing_queue import StreamOverloadGuard
from splitfer.cloud_server.admission.transit import TransitDelay
from splitfer.cloud_server.inference.pending_faces import PendingFaces
from splitfer.cloud_server.inference.tail import TailAnswer
from splitfer.cloud_server.rest_api.stream_message import StreamMessage, refusal, reply
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import Request
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import Overloaded, SplitFerError, unexpected_error
from splitfer.shared.labels import LabelSet

_METHOD = "WS /v1/latents/stream"
log = logging.getLogger(__name__)
# Of an end: WebSocket's codes, and words for people.
End: TypeAlias = tuple[int, str]
_GONE: End = (1000, "")
_IDLE: End = (1000, "idle")
_DRAINED: End = (1001, "the server is stopping")
_NO_MESSAGE: End = (1003, "not a message of latents: see docs/api/stream.md")


@dataclass(frozen=True)
class Asked:
    """What all messages of one connection ask for; empty and None mean the defaults."""

    fingerprint: str
    tail: str
    labels: LabelSet | None


@dataclass(frozen=True)
class StreamBounds:
    """``in_flight`` messages may have no reply yet; a connection without any ends after ``idle_s``;
    ``deadline_ms`` is that of messages that name none."""

    in_flight: int
    idle_s: float
    deadline_ms: float


@dataclass(slots=True, eq=False)
class _Message:
    """One that was let in: its request, its payloads, and what counts it until its answer."""

    id: int
    request: Request
    payloads: list[bytes]
    counts: tuple[Admitted | InFlight, ...]

    def leave(self) -> None:
        for count in self.counts:
            count.leave()


class LatentStream:
    """One open connection, of a caller that was let in already."""

    def __init__(
        self, service: Service, caller: Caller, observer: Observer, asked: Asked,
        bounds: StreamBounds, receive: Receive, send: Send,
    ) -> None:  # fmt: skip
        self._service, self._caller, self._observer = service, caller, observer
        self._asked, self._bounds = asked, bounds
        self._receive, self._send = receive, send
        self._under_way: dict[_Message, PendingFaces[TailAnswer]] = {}
        self._replies: deque[str] = deque()
        self._in_flight = 0
        self._transit, self._queue = TransitDelay(), StreamOverloadGuard()
        self._draining, self._room, self._ready = (asyncio.Event() for _ in range(3))

    def drain(self) -> None:
        """Read no more; what was read is answered, and the connection ends well."""
        self._draining.set()

    async def run(self) -> None:
        """Serve until the caller, ``drain`` or silence ends it."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        draining = asyncio.create_task(self._draining.wait())
        try:
            waits = (reading, writing, draining)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            end = _DRAINED if not reading.done() else reading.result()
            while end is not _GONE and self._in_flight and not writing.done():
                self._room.clear()
                room = asyncio.create_task(self._room.wait())
                await asyncio.wait((writing, room), return_when=asyncio.FIRST_COMPLETED)
                room.cancel()
        finally:
            for task in (reading, writing, draining):
                task.cancel()
            self._hang_up()
            await asyncio.gather(reading, writing, draining, return_exceptions=True)
        if end is not _GONE and writing.cancelled():
            code, reason = end
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _read(self) -> End:
        while True:
            while self._in_flight >= self._bounds.in_flight:
                self._room.clear()
                await self._room.wait()
            try:
                async with asyncio.timeout(self._bounds.idle_s):
                    event = await self._receive()
            except TimeoutError:
                if self._in_flight:
                    continue
                return _IDLE
            if event["type"] == "websocket.disconnect":
                return _GONE
            message = StreamMessage.read(event.get("bytes") or b"")
            if message is None:
                return _NO_MESSAGE
            self._in_flight += 1
            self._take(message)

    def _take(self, said: StreamMessage) -> None:
        request = self._observer.begin("http", _METHOD, {})
        request.received_bytes = len(said.body)
        try:
            self._caller.judge_anew()  # before a word of what is served, or of how busy it is
            payloads = said.payloads()
            deadline = self._deadline(said)
            asked = self._asked
            target = self._service.admit(asked.fingerprint, asked.tail, deadline, asked.labels)
            admitted, of_weights = self._caller.request(), target.weights.request()
            of_weights.enter()
            message = _Message(said.id, request, payloads, (admitted, of_weights))
            try:
                self._under_way[message] = self._service.begin(
                    target, payloads, deadline, partial(self._answered, message)
                )
            except BaseException:
                message.leave()
                raise
        except Exception as error:
            self._refuse(said.id, request, error)

    def _answered(self, message: _Message, inferred: Inferred) -> None:
        del self._under_way[message]
        message.leave()
        try:
            self._end(message.request, reply(message.id, message.payloads, inferred))
        except Exception as error:
            self._refuse(message.id, message.request, error)

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
            while not self._replies:
                self._ready.clear()
                await self._ready.wait()
            await self._send({"type": "websocket.send", "text": self._replies[0]})
            self._replies.popleft()
            self._in_flight -= 1
            self._room.set()

    def _refuse(self, number: int, request: Request, error: Exception) -> None:
        if not isinstance(error, SplitFerError):
            log.error("a message of a stream failed", exc_info=error)
            error = unexpected_error()
        request.code = error.code
        self._end(request, refusal(number, error))

    def _end(self, request: Request, text: str) -> None:
        request.sent_bytes = len(text)
        self._observer.end(request)
        self._replies.append(text)
        self._ready.set()

    def _deadline(self, message: StreamMessage) -> Deadline:
        given_ms = message.deadline_ms or self._bounds.deadline_ms
        now_ms = time.monotonic() * 1000
        held_up_ms = self._transit.held_up_ms(message.sent_ms, now_ms)
        if self._queue.refuses(held_up_ms, given_ms, now_ms):
            raise Overloaded("more messages than are read wait on this stream")
        return Deadline.after_ms(given_ms - held_up_ms)
