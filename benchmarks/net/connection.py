"""One connection through a forwarder: a pump each way, and the ways in which it can end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping

from benchmarks.net.direction import Direction
from benchmarks.net.shape import SEGMENT_BYTES, Stream

_READ_BYTES = 2**14
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """Carries an accepted connection to ``target``. ``task`` ends when both ends are closed."""

    def __init__(
        self, accepted: socket.socket, target: tuple[str, int], ways: Mapping[str, Direction]
    ) -> None:
        self._target, self._ways = target, ways
        self._near: _Streams | None = None
        self._far: _Streams | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._forgotten = False
        self.task = asyncio.create_task(self._run(accepted))

    def reset(self) -> None:
        """Reset it, towards both ends."""
        self._forgotten = False
        for streams in (self._near, self._far):
            if streams is not None:
                _reset(streams[1])
        for pump in self._pumps:
            pump.cancel()

    def forget_far_end(self) -> None:
        """Reset it towards the far end; what the near end sends from now on goes nowhere."""
        if self._far is not None:
            self._forgotten = True
            _reset(self._far[1])
            for pump in self._pumps:
                pump.cancel()

    async def _run(self, accepted: socket.socket) -> None:
        self._near = await asyncio.open_connection(sock=accepted, limit=_READ_BYTES)
        try:
            self._far = await asyncio.open_connection(*self._target, limit=_READ_BYTES)
        except OSError:
            self.reset()
            return
        pumps = (
            _Pump(self._ways["up"], self._near[0], self._far[1]),
            _Pump(self._ways["down"], self._far[0], self._near[1]),
        )
        self._pumps = [asyncio.create_task(pump.run()) for pump in pumps]
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_EXCEPTION)
        if self._forgotten:
            await _swallow(self._near[0])
        if any(not one.done() or one.cancelled() or one.exception() for one in self._pumps):
            for way in self._ways.values():
                await way.passing.wait()  # in a blackhole neither end hears that the other left
            self.reset()
            for end in await asyncio.gather(*self._pumps, return_exceptions=True):
                if isinstance(end, ExceptionGroup) and end.split(OSError)[1] is not None:
                    raise end  # a fault of ours, not of a connection
        for _, writer in (self._near, self._far):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Pump:
    """One direction of one connection: pieces wait here until they are due."""

    def __init__(
        self, way: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._way, self._reader, self._writer = way, reader, writer
        self._queue: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Until the end was passed on; an OSError in the group where either side broke."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take())
            both.create_task(self._give())

    async def _take(self) -> None:
        stream = Stream(self._way.line)
        while data := await self._reader.read(_READ_BYTES):
            now_s = time.monotonic()
            async with self._changed:
                for segment in _pieces(data, SEGMENT_BYTES):
                    self._queue.append((stream.segment(len(segment), now_s), segment))
                self._held_bytes += len(data)
                self._changed.notify_all()
                await self._changed.wait_for(self._has_room)
        async with self._changed:
            self._queue.append((0.0, b""))
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._held_bytes < self._way.line.shape.queue_bytes

    async def _give(self) -> None:
        way, writer = self._way, self._writer
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._queue)
                due_s, data = self._queue.popleft()
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            await way.passing.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            for piece in _pieces(way.damaged(data), way.fault.slice_bytes):
                writer.write(piece)
            await writer.drain()
            way.carried_bytes += len(data)
            async with self._changed:
                self._held_bytes -= len(data)
                self._changed.notify_all()


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


async def _swallow(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(_READ_BYTES):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what is under way is lost, as when a machine lost its power."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
