"""An HTTP/1.1 caller that costs next to nothing: POST over connections that stay open."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

# Told once a call ended: its status, or 0 where the connection was lost.
Done = Callable[[int], None]


class _Connection(asyncio.Protocol):
    def __init__(self, pool: Http1Pool) -> None:
        self._pool = pool
        self._buffer = bytearray()
        self._done: Done | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def post(self, request: bytes, done: Done) -> None:
        assert self.transport is not None
        self._done = done
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        size = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                size = int(value)
            elif name == b"transfer-encoding":
                if not self._buffer.endswith(b"0\r\n\r\n"):
                    return
                size = len(self._buffer) - head_end - 4
        if len(self._buffer) < head_end + 4 + size:
            return
        self._buffer.clear()
        self._ended(int(head.split(b" ", 2)[1]))
        self._pool.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._ended(0)
        self._pool.lost(self)

    def _ended(self, status: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status)


class Http1Pool:
    """Connections to one server. A call waits where all are busy."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._host, self._port, self._count = host, port, connections
        self._free: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._closed = False

    async def open(self) -> None:
        """Connect all."""
        await asyncio.gather(*(self._connect() for _ in range(self._count)))

    def request(self, path: str, kind: str, body: bytes) -> bytes:
        """The bytes of a POST."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def call(self, request: bytes, done: Done) -> None:
        """Send it, on a free connection."""
        if self._free:
            self._free.popleft().post(request, done)
        else:
            self._waiting.append((request, done))

    def free(self, connection: _Connection) -> None:
        """It has its reply."""
        if connection.transport is None or connection.transport.is_closing():
            return
        if self._waiting:
            connection.post(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: _Connection) -> None:
        """It was closed; another takes its place."""
        self._all.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if not self._closed:
            self._reconnect = asyncio.get_running_loop().create_task(self._connect())

    def close(self) -> None:
        """Hang up."""
        self._closed = True
        for connection in tuple(self._all):
            if connection.transport is not None:
                connection.transport.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self), self._host, self._port
        )
        self._all.add(connection)
        self.free(connection)
