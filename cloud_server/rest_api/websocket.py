"""WebSockets from peers that may be hostile: every message is bounded, and so is every wait."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import MutableMapping, Sequence
from typing import Any, ClassVar

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from splitfer.cloud_server.admission.byte_budget import Held
from splitfer.cloud_server.rest_api.doorway import Guest
from splitfer.shared.errors import Overloaded

# Of one message: nobody has to send it in more. And between two messages: pings and pongs.
FRAGMENTS_MAX, CONTROL_FRAMES_MAX = 64, 64
# Of what has come, read in one go; then others have their turn. A frame may have seven bytes, and
# costs as much to read as thousands.
_TURN_BYTES = 8192
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
_CHARGE = "charge"
# The peer has this long to say that it has heard of the end.
_CLOSE_S = 2.0
# Less than websockets takes, which refuses in words of its own.
_HEADERS_MAX, _LINE_BYTES = 100, 8000
_KEY_BYTES = 16
# Each request has its line by the observer; uvicorn's hold a peer's words.
_log = logging.getLogger("splitfer.cloud_server.websocket")
_log.setLevel(logging.WARNING)


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection, from its handshake on. uvicorn's ``ws_max_size`` bounds a message, whole or
    in fragments, before it is read.

    A message that has begun must be whole within ``receive_s``, and what is sent must be taken
    within ``wait_s``. Until it is, nothing more is read, pings neither. What has come and is not
    received yet is held of the budget of whoever ``charge`` names; where there is no room for it
    the connection ends.
    """

    guest: Guest | None = None  # where a ``Doorway`` let it in
    receive_s: ClassVar[float]
    wait_s: ClassVar[float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger, self.close_timeout = _log, _CLOSE_S
        self._whole: asyncio.TimerHandle | None = None
        self._taken: asyncio.TimerHandle | None = None
        self._control = 0
        self._unread = bytearray()
        self._going_on: asyncio.Handle | None = None
        self._begun_bytes = 0  # of a frame that is not all there
        self._queued_bytes = 0  # of messages
        self._held: Held | None = None
        inner: Any = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            except asyncio.CancelledError:
                # The server stops: that is no failure of the application's.
                self.transport.abort()
            if self.initial_response is not None:
                # A handshake that was refused is over, and no failure of the application's either.
                raise ClientDisconnected

        self.app = app

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer; a wait for them may end."""
        self._unread += data
        if self._going_on is None:
            self._read_a_part()

    def _go_on(self) -> None:
        self._going_on = None
        self._read_a_part()
        waits = self._unread or self.read_paused or not self.writable.is_set()
        if not waits and not self.transport.is_closing():
            self.transport.resume_reading()

    def _read_a_part(self) -> None:
        """Of what has come, unless what was read before is not received yet."""
        if not self.read_paused and not self.transport.is_closing():
            size = _TURN_BYTES if self.handshake_initiated else len(self._unread)
            data = bytes(self._unread[:size])
            del self._unread[:size]
            self._begun_bytes += len(data)
            super().data_received(data)
        self._hold()
        if self.transport.is_closing():
            self._unread.clear()
        elif self._unread:
            self.transport.pause_reading()
            if not self.read_paused:
                self._going_on = self.loop.call_soon(self._go_on)
        begun = not self._unread and (self.frames or self._begun_bytes)
        if self.transport.is_closing() or not begun:
            _stop(self._whole)
            self._whole = None
        elif self._whole is None:
            self._whole = self.loop.call_later(self.receive_s, self.transport.abort)

    def handle_events(self) -> None:
        """Handle what has arrived, up to its bounds."""
        events = self.conn.events_received()
        fragments = len(self.frames)
        for place, event in enumerate(events):
            if not isinstance(event, Frame):
                self._begun_bytes = 0  # the handshake, which comes alone
                continue
            self._begun_bytes -= _bytes_of(event)
            if event.opcode in (Opcode.PING, Opcode.PONG):
                self._control += 1
            else:
                fragments = 0 if event.fin else fragments + 1
                self._control = 0 if event.fin else self._control
            if fragments > FRAGMENTS_MAX or self._control > CONTROL_FRAMES_MAX:
                self.conn.data_to_send()  # pongs that nobody waits for any more
                self.conn.events = events[:place]
                return self._fail(_POLICY_VIOLATION, "too many small frames")
        self.conn.events = events
        super().handle_events()

    def handle_connect(self, event: Request) -> None:
        """It asks to be one."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"][_CHARGE] = self._charge

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        if not self.close_sent:
            self._queued_bytes += sum(map(len, self.frames))
        super().send_receive_event_to_app()

    def _charge(self, held: Held) -> None:
        self._held = held
        self._hold()

    def _hold(self) -> None:
        if self._held is None:
            return
        size = len(self._unread) + self._begun_bytes + self._queued_bytes
        size += sum(map(len, self.frames))
        try:
            self._held.become(size)
        except Overloaded as error:
            self._fail(_TRY_AGAIN_LATER, str(error))

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)  # what comes still is dropped
        self.frames = []
        self._stop_charging()
        super().handle_events()
        self.handle_parser_exception()

    def _stop_charging(self) -> None:
        if self._held is not None:
            self._held.leave()
            self._held = None

    def handle_parser_exception(self) -> None:
        """Close the connection after a fault of the peer."""
        if self.conn.close_sent is not None:
            return super().handle_parser_exception()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006, "reason": ""})
        self.transport.abort()  # it did not wait for the handshake to end

    async def receive(self) -> Any:
        """The next message. That there is room for it does not mean that the peer takes answers."""
        message: Any = await super().receive()
        self._queued_bytes -= len(message.get("bytes") or message.get("text") or b"")
        self._hold()
        if self._unread and not self.read_paused and self._going_on is None:
            self._going_on = self.loop.call_soon(self._go_on)
        if self._unread or not self.writable.is_set():
            self.transport.pause_reading()
        return message

    def pause_writing(self) -> None:
        """The peer does not take what is sent: it is not read from."""
        super().pause_writing()
        self.transport.pause_reading()
        self._taken = self._taken or self.loop.call_later(self.wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the wait for the peer, which reads again."""
        super().resume_writing()
        _stop(self._taken)
        self._taken = None
        if not self.read_paused and not self._unread:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waits: the connection is over."""
        _stop(self._whole)
        _stop(self._taken)
        _stop(self._going_on)
        self._unread.clear()
        if self.guest is not None:
            self.guest.left()
        self._stop_charging()
        super().connection_lost(exc)


def charge(scope: MutableMapping[str, Any], held: Held) -> None:
    """What comes on the connection of ``scope``, and is not received yet, is held of ``held``."""
    scope["state"][_CHARGE](held)


def bounded_websocket(receive_s: float, wait_s: float) -> type[BoundedWebSocket]:
    """The protocol with these bounds; uvicorn makes one for each connection."""
    bounds: dict[str, Any] = {"receive_s": receive_s, "wait_s": wait_s}
    return type("BoundedWebSocket", (BoundedWebSocket,), bounds)


def is_handshake(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a request with these headers, their names in small letters, is one of WebSocket's
    version 13, and of usual size."""
    given = dict(headers)
    try:
        key = base64.b64decode(given.get(b"sec-websocket-key", b""), validate=True)
    except binascii.Error:
        return False
    return (
        method == b"GET"
        and len(key) == _KEY_BYTES
        and given.get(b"sec-websocket-version") == b"13"
        and len(headers) <= _HEADERS_MAX
        and max(len(target), *(len(name) + len(value) for name, value in headers)) <= _LINE_BYTES
    )


def _bytes_of(frame: Frame) -> int:
    """Bytes of a frame on the wire: header, mask and contents."""
    size = len(frame.data)
    return 6 + (0 if size < 126 else 2 if size < 65536 else 8) + size


def _stop(timer: asyncio.Handle | None) -> None:
    if timer is not None:
        timer.cancel()
