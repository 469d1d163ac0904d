"""HTTP/1.1 from peers that may be slow on purpose: every wait for them has an end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.rest_api.doorway import Guest
from splitfer.cloud_server.rest_api.dues import Dues
from splitfer.cloud_server.rest_api.files import IN_LINE
from splitfer.cloud_server.rest_api.request_form import (
    checked,
    has_bare_line_feed,
    header_bytes,
    refusal,
    too_long,
)
from splitfer.cloud_server.rest_api.websocket import is_handshake

# Of the request line and all headers together.
HEADER_BYTES = 16 * 2**10
# After a reply to a body that was not read to its end: what is still taken, so that the caller
# reads the reply before its connection breaks, and for how long.
_LINGER_BYTES, _LINGER_S = 2**20, 2.0
# Each costs as much to read as thousands of bytes in one.
_SMALL_CHUNK_BYTES, _SMALL_CHUNKS_MAX = 256, 1024
# Of a body, in one go: then others have their turn, and a refusal may stop it.
_PARTS_A_TURN = 32
# The same where the server stops.
_STOPPING_S = 0.2
_CLOSE = (b"connection", b"close")
# Where a connection may become a WebSocket; elsewhere the word is passed over, as HTTP allows.
STREAM_PATH = "/v1/latents/stream"


class BoundedHttp(H11Protocol):
    """One connection. h11 even where httptools is installed, since that one bounds no header.

    Within ``wait_s`` a header that has begun must be whole, the first one from the start of the
    connection, and a reply must be taken. Between two requests uvicorn's keep-alive time holds.
    The body of a request that is being answered is bounded by ``BodyLimit``; the reply to one that
    is not all there ends the connection. After a reply that was a refusal, or cost no network's
    time, the next request is looked at when it is the caller's turn (``Dues``).
    """

    wait_s: ClassVar[float]
    connections_max: ClassVar[int]
    admission: ClassVar[Admission]
    guest: Guest | None = None  # where a ``Doorway`` let it in
    _header: asyncio.TimerHandle | None = None
    _deaf = False  # a refusal was sent: what comes still is dropped unread
    _dropped_bytes = 0
    _chunks = 0
    _parts = 0  # of a body, in this turn
    _upgraded = False
    _reply: asyncio.TimerHandle | None = None
    _in_line = False  # the reply waits for its turn
    _paying: asyncio.Task[None] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._gone, self._dues = asyncio.Event(), Dues(self.admission)
        inner = self.app
        self._heard, self.conn.next_event = self.conn.next_event, self._next_event  # type: ignore[method-assign]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._answer(inner, scope, receive, send)

        self.app = app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        """One more, where there is room; one that is idle makes room."""
        super().connection_made(transport)
        if self.guest is not None:
            self.guest.http = self
        if len(self.connections) > self.connections_max and not self._make_room():
            self._refuse(503, "overloaded", "too many connections", {"Retry-After": "1"})
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer; a wait for them may end."""
        if self._deaf:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        self._expect()

    def handle_events(self) -> None:
        """Handle what has arrived, a bounded part of it at a time."""
        self._parts = 0
        super().handle_events()

    def _go_on(self) -> None:
        if not self._deaf and not self.transport.is_closing():
            self.handle_events()
            self._expect()

    def _next_event(self) -> Any:
        """h11's next event, but for what it lets pass."""
        if self._parts >= _PARTS_A_TURN:
            self.loop.call_soon(self._go_on)
            return h11.NEED_DATA
        if self._dues.are_owed and self.conn.their_state is h11.IDLE:
            return h11.NEED_DATA
        # Asked here, not where data comes in: a header may follow a body in one piece.
        if self.conn.their_state is h11.IDLE and has_bare_line_feed(self.conn.trailing_data[0]):
            raise h11.RemoteProtocolError("lines end with CR LF", 400)
        event = self._heard()
        if isinstance(event, h11.Request):
            self._chunks = 0
            return checked(event)
        if isinstance(event, h11.Data):
            self._parts += 1
            self._chunks += event.chunk_end and len(event.data) < _SMALL_CHUNK_BYTES
            if self._chunks > _SMALL_CHUNKS_MAX:
                raise h11.RemoteProtocolError("too many small chunks", 400)
        return event

    def _should_upgrade_to_ws(self) -> bool:
        return super()._should_upgrade_to_ws() and self.scope["path"] == STREAM_PATH

    def _unsupported_upgrade_warning(self) -> None:
        pass  # a line of the log for whoever asks

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another protocol's from now on."""
        if not is_handshake(event.method, event.target, self.headers):
            return self._refuse(400, "bad_request", "this is no handshake of a WebSocket")
        self._upgraded = True
        super().handle_websocket_upgrade(event)
        if self.guest is not None:
            self.guest.asks()
            self.transport.get_protocol().guest = self.guest  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        """The next request may come; a part of it may be there."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._dues.stay_owed()
        elif self._dues.are_owed:
            self.flow.pause_reading()
            self._paying = self.loop.create_task(self._pay())
        if self.guest is not None:
            self.guest.is_quiet()
        if self.conn.trailing_data[0]:
            self._expect()

    async def _pay(self) -> None:
        await self._dues.pay()
        self.flow.resume_reading()
        self._go_on()

    def pause_writing(self) -> None:
        """Begin to wait for the peer, which does not read."""
        super().pause_writing()
        self._tell_guest()
        self._reply = self._reply or self.loop.call_later(self.wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that wait: the peer reads again."""
        super().resume_writing()
        self._tell_guest()
        _stop(self._reply)
        self._reply = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waits: the connection is over."""
        _stop(self._header)
        _stop(self._reply)
        if self.guest is not None:
            self.guest.left()
        self._dues.leave()
        self._gone.set()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in our one shape; uvicorn calls it while it handles h11's error."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            msg = f"the request line and headers are larger than {HEADER_BYTES} bytes"
        elif error is not None:
            msg = f"the request is not HTTP/1.1: {str(error).partition(':')[0]}"
        self._refuse(status, "bad_request", msg)

    def _refuse(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer without a request, where nothing was answered yet, and close."""
        reply = b""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events = refusal(status, code, message, headers or {})
            reply = b"".join(self.conn.send(event) or b"" for event in events)
        self._deaf = True
        if caller := self._dues.before_refusal(self.client[0] if self.client else ""):
            self.transport.pause_reading()
            self._paying = self.loop.create_task(self._end(caller, status, reply))
        else:
            self.transport.write(reply)
            self.transport.close()

    async def _end(self, caller: str, status: int, reply: bytes) -> None:
        await self._dues.turn(caller, status)
        if not self.transport.is_closing():
            self.transport.write(reply)
            self.transport.close()

    async def _answer(self, inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """One request: its header is bounded, and what it leaves unread is not read on and on."""
        if header_bytes(scope) > HEADER_BYTES:
            # h11 bounds only what is not whole yet when it looks.
            inner = too_long(HEADER_BYTES)
        cycle, unread = self.cycle, False
        scope.setdefault("state", {})[IN_LINE] = self._waits_in_line

        async def told(message: Message) -> None:
            nonlocal unread
            if message["type"] == "http.response.start":
                if caller := self._dues.before(scope, message["status"]):
                    await self._wait_in_line(caller, message["status"])
                if unread := cycle.more_body:
                    message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            elif unread and not message.get("more_body", False):
                # The caller has the whole of it, and may stop by itself.
                await send({**message, "more_body": True})
                await self._linger(int(dict(scope["headers"]).get(b"content-length", 0)))
                message = {"type": message["type"]}
            await send(message)

        try:
            await inner(scope, receive, told)
        except asyncio.CancelledError:
            # The server stops in the middle of a reply: that is no failure of the application's.
            cycle.disconnected = True
            self.transport.close()

    async def _wait_in_line(self, caller: str, status: int) -> None:
        """Until it is this caller's turn, or it has gone. Of a body that nobody asked for nothing
        is kept meanwhile."""
        if self.cycle.more_body:
            self.flow.pause_reading()
        self.cycle.body.clear()
        self._waits_in_line(True)
        await self._dues.turn(caller, status)
        self._waits_in_line(False)

    async def _linger(self, announced: int) -> None:
        """Until the caller has hung up, or has had the time to read its refusal."""
        self._deaf = True
        # Of what would not be taken to its end nothing is: that costs more than the refusal.
        hears = announced <= _LINGER_BYTES
        (self.transport.resume_reading if hears else self.transport.pause_reading)()
        task = asyncio.current_task()
        stopping = task is not None and task.cancelling()
        try:
            async with asyncio.timeout(_STOPPING_S if stopping else min(self.wait_s, _LINGER_S)):
                await self._gone.wait()
        except TimeoutError:
            pass

    def make_room(self) -> None:
        """End it for others; whoever was answered last gets a close notice."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_handler()
        else:
            self.transport.abort()

    def _make_room(self) -> bool:
        """Close a connection that waits for its next request, if there is one."""
        for other in self.connections:
            if not isinstance(other, BoundedHttp) or other.transport.is_closing():
                continue
            if other.timeout_keep_alive_task is not None:
                other.timeout_keep_alive_handler()
                return True
        return False

    @property
    def _is_answering(self) -> bool:
        return self._upgraded or (self.cycle is not None and not self.cycle.response_complete)

    def _waits_in_line(self, waits: bool) -> None:
        self._in_line = waits
        if not self.transport.is_closing():
            self._tell_guest()

    def _tell_guest(self) -> None:
        if self.guest is None:
            return
        if self._is_answering and not self._in_line and not self.flow.write_paused:
            self.guest.asks()
        else:
            self.guest.is_quiet()

    def _expect(self) -> None:
        if answering := self._is_answering:
            self._tell_guest()
        if answering or self.transport.is_closing() or self.timeout_keep_alive_task is not None:
            _stop(self._header)
            self._header = None
        elif self._header is None:
            first = self.guest if self.cycle is None else None
            wait_s = first.left_s if first is not None else self.wait_s
            self._header = self.loop.call_later(wait_s, self.transport.abort)


def bounded_http(wait_s: float, connections_max: int, admission: Admission) -> type[BoundedHttp]:
    """The protocol with these bounds; uvicorn makes one for each connection."""
    bounds = {"wait_s": wait_s, "connections_max": connections_max, "admission": admission}
    return type("BoundedHttp", (BoundedHttp,), bounds)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
