"""A gRPC caller that costs next to nothing: just enough HTTP/2, with frames built beforehand.

gRPC's own Python client takes as long for a call as the server does, so it could not show what the
server does at ten times its load. This one writes constant headers and reads messages. It forbids
the server to compress headers, so that a status can be found in them without a decoder.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import deque
from collections.abc import Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, WINDOW = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
_HEADER_TABLE_BYTES, _MOST_CALLS, INITIAL_WINDOW, _MOST = 1, 3, 4, 2**31 - 1
_STATUS = re.compile(rb"grpc-status[\x01\x02](\d+)")
_CANCELLED = 1
FIRST_WINDOW_BYTES = 65_535

# Told once a call ended: its message, or None where it failed; and its gRPC status, where one came.
Done = Callable[[bytes | None, int | None], None]


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """One of HTTP/2's frames."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def literal(name: str, value: str) -> bytes:
    """A header that neither side remembers."""
    return b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def header_block(authority: str, method: str, timeout_ms: int) -> bytes:
    """The headers of a call; ``timeout_ms`` 0 names none."""
    timeout = literal("grpc-timeout", f"{timeout_ms}m") if timeout_ms else b""
    return (
        b"\x83\x86"  # POST, http
        + literal(":path", method)
        + literal(":authority", authority)
        + literal("te", "trailers")
        + literal("content-type", "application/grpc")
        + timeout
    )


class Http2Caller(asyncio.Protocol):
    """One connection. Calls wait inside where the server's flow control says so."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._waiting: deque[tuple[int, bytes]] = deque()  # bytes of flow control, and what to send
        self._window = FIRST_WINDOW_BYTES
        self._most_calls, self._under_way = _MOST, 0
        self._next_stream = 1
        self._buffer = bytearray()
        self._messages: dict[int, bytearray] = {}
        self._calls: dict[int, Done] = {}
        self._open_stream = 0
        self._on_message: Callable[[bytes], None] | None = None
        self._stream_window = self._first_stream_window = FIRST_WINDOW_BYTES
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, and give the server all the room there is."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = struct.pack(">HIHI", _HEADER_TABLE_BYTES, 0, INITIAL_WINDOW, _MOST)
        window = struct.pack(">I", _MOST - FIRST_WINDOW_BYTES)
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, window))

    def call(self, message: bytes, done: Done) -> None:
        """One unary call."""
        number = self._next_stream
        self._next_stream += 2
        self._calls[number], self._messages[number] = done, bytearray()
        data = b"\x00" + struct.pack(">I", len(message)) + message
        frames = frame(HEADERS, END_HEADERS, number, self._block)
        self._send(len(data), frames + frame(DATA, END_STREAM, number, data))

    def open_stream(self, on_message: Callable[[bytes], None]) -> None:
        """Open the one stream that ``say`` sends on; ``on_message`` gets what comes back."""
        number = self._open_stream = self._next_stream
        self._next_stream += 2
        self._on_message, self._messages[number] = on_message, bytearray()
        self._transport.write(frame(HEADERS, END_HEADERS, number, self._block))

    def say(self, message: bytes) -> None:
        """One message on the open stream."""
        data = b"\x00" + struct.pack(">I", len(message)) + message
        self._send(len(data), frame(DATA, 0, self._open_stream, data))

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Whatever is under way has failed."""
        self.lost = True
        for done in self._calls.values():
            done(None, None)
        self._calls.clear()

    def data_received(self, data: bytes) -> None:
        """Take the frames apart."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at < 9 + size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._frame_came(kind, flags, stream, bytes(buffer[at + 9 : at + 9 + size]))
            at += 9 + size
        del buffer[:at]

    def _frame_came(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == DATA and stream in self._messages:
            self._messages[stream] += body
            if stream == self._open_stream:
                self._tell_messages()
        elif kind == SETTINGS and not flags & ACK:
            for key, value in struct.iter_unpack(">HI", body):
                if key == _MOST_CALLS:
                    self._most_calls = value
                if key == INITIAL_WINDOW:
                    self._stream_window += value - self._first_stream_window
                    self._first_stream_window = value
            self._transport.write(frame(SETTINGS, ACK, 0))
            self._flush()
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, body))
        elif kind == WINDOW:
            (more,) = struct.unpack(">I", body)
            if stream == 0:
                self._window += more
            elif stream == self._open_stream:
                self._stream_window += more
            self._flush()
        if kind == RST:
            self._ended(stream, _CANCELLED)
        elif kind in (DATA, HEADERS) and flags & END_STREAM:
            status = _STATUS.search(body) if kind == HEADERS else None
            self._ended(stream, int(status[1]) if status else None)

    def _ended(self, stream: int, status: int | None) -> None:
        message = self._messages.pop(stream, None)
        if done := self._calls.pop(stream, None):
            self._under_way -= 1
            done(bytes(message[5:]) if message else None, status)
            self._flush()
        if stream == self._open_stream:
            self._transport.abort()

    def _tell_messages(self) -> None:
        came, at = self._messages[self._open_stream], 0
        assert self._on_message is not None
        while len(came) - at >= 5:
            size = int.from_bytes(came[at + 1 : at + 5], "big")
            if len(came) - at < 5 + size:
                break
            self._on_message(bytes(came[at + 5 : at + 5 + size]))
            at += 5 + size
        del came[:at]

    def _send(self, size: int, frames: bytes) -> None:
        self._waiting.append((size, frames))
        self._flush()

    def _flush(self) -> None:
        while self._waiting:
            size, frames = self._waiting[0]
            room = min(self._window, self._stream_window) if self._open_stream else self._window
            if size > room or self._under_way >= self._most_calls:
                return
            self._under_way += 0 if self._open_stream else 1
            self._window -= size
            self._stream_window -= size if self._open_stream else 0
            self._waiting.popleft()
            self._transport.write(frames)
