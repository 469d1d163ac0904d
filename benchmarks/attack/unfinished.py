"""gRPC streams that each send a message but for its last byte, as far as flow control lets them."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from benchmarks.net.http2_caller import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW_BYTES,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    RST,
    SETTINGS,
    WINDOW,
    frame,
    header_block,
    literal,
)

_FRAME_BYTES = 16 * 2**10


@dataclass
class _Stream:
    left: bytes
    window: int


class UnfinishedStreams:
    """``count`` streams of ``method`` on one connection, each with ``message_bytes`` announced.
    ``refused`` are those that the server has ended."""

    def __init__(
        self, connection: socket.socket, method: str, token: str, count: int, message_bytes: int
    ) -> None:
        self._connection, self._buffer = connection, bytearray()
        self._window = self._first_window = FIRST_WINDOW_BYTES
        self.refused = 0
        block = header_block("x", method, 0) + literal("authorization", f"Bearer {token}")
        data = b"\x00" + struct.pack(">I", message_bytes) + bytes(message_bytes - 1)
        numbers = range(1, 2 * count, 2)
        self._streams = {number: _Stream(data, FIRST_WINDOW_BYTES) for number in numbers}
        hello = b"".join(frame(HEADERS, END_HEADERS, number, block) for number in numbers)
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + hello)

    @property
    def sent(self) -> int:
        """Streams that have sent all but the last byte."""
        return sum(not one.left for one in self._streams.values())

    def go_on(self, patience_s: float) -> None:
        """Send what may be sent, until nothing comes back for so long, or all is sent or refused.

        Raises:
            OSError: the server hung up.
        """
        self._connection.settimeout(patience_s)
        while any(one.left for one in self._streams.values()):
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                return
            if not data:
                raise ConnectionError("the server hung up")
            self._buffer += data
            self._take_frames()
            self._send()

    def _take_frames(self) -> None:
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            number = int.from_bytes(self._buffer[5:9], "big")
            self._came(kind, flags, number, bytes(self._buffer[9 : 9 + size]))
            del self._buffer[: 9 + size]

    def _came(self, kind: int, flags: int, number: int, body: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for key, value in struct.iter_unpack(">HI", body):
                if key == INITIAL_WINDOW:
                    for one in self._streams.values():
                        one.window += value - self._first_window
                    self._first_window = value
            self._connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._connection.sendall(frame(PING, ACK, 0, body))
        elif kind == WINDOW:
            (more,) = struct.unpack(">I", body)
            if number == 0:
                self._window += more
            elif number in self._streams:
                self._streams[number].window += more
        elif kind == RST or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.refused += self._streams.pop(number, None) is not None

    def _send(self) -> None:
        for number, one in self._streams.items():
            while size := min(len(one.left), one.window, self._window, _FRAME_BYTES):
                if size <= 0:
                    break
                self._connection.sendall(frame(DATA, 0, number, one.left[:size]))
                one.left = one.left[size:]
                one.window -= size
                self._window -= size
