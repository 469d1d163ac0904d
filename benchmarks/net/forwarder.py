"""A TCP forwarder on loopback that shapes, breaks and damages what passes through it.

    client --> Forwarder --> up:   shape, blackhole, flips, slices --> target
           <--                <-- down: shape, blackhole, flips, slices <--

Loss and blackholes look as they do behind TCP: nothing is missing from the stream, it stands
still. Faults are turned on and off while connections are open, from any thread.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Self

from benchmarks.net.connection import Connection
from benchmarks.net.direction import SOUND, Direction, Fault
from benchmarks.net.shape import Line, Shape

__all__ = ["SOUND", "Fault", "Forwarder"]
_START_TIMEOUT_S = 30.0


class Forwarder:
    """Forwards what comes to ``listen`` to ``target``; a context manager that owns a thread.

    Port 0 takes any free one. ``accepted`` counts the connections so far; new ones go to the
    ``target`` of the moment.
    """

    def __init__(
        self,
        target: tuple[str, int],
        listen: tuple[str, int] = ("127.0.0.1", 0),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.target = target
        self.accepted = 0
        self._draw = draw
        self._ways = {name: Direction(Line(Shape(), draw)) for name in ("up", "down")}
        self._connections: set[Connection] = set()
        self._listener = socket.create_server(listen)
        self.host, self.port = self._listener.getsockname()
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="forwarder")

    @property
    def address(self) -> str:
        """``host:port`` to connect to."""
        return f"{self.host}:{self.port}"

    @property
    def carried_bytes(self) -> dict[str, int]:
        """Bytes passed on so far, each way."""
        return {name: way.carried_bytes for name, way in self._ways.items()}

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._connections)

    def set(self, up: Fault | None = None, down: Fault | None = None) -> None:
        """From now on; None leaves a direction as it is. What waits already keeps its time."""

        async def change() -> None:
            for name, fault in (("up", up), ("down", down)):
                if fault is not None:
                    self._ways[name].change(fault)

        self._on_loop(change())

    def shape(self, up: Shape, down: Shape) -> None:
        """Only the shapes of both ways."""
        self.set(replace(SOUND, shape=up), replace(SOUND, shape=down))

    def heal(self) -> None:
        """Both ways sound, new connections accepted. What is half open stays so."""
        self.set(SOUND, SOUND)
        self.accept()

    def reset(self) -> None:
        """Every open connection is reset, towards both ends."""
        self._on_loop(self._each(Connection.reset))

    def half_open(self) -> None:
        """The far end forgets every open connection; the near end is not told, ever."""
        self._on_loop(self._each(Connection.forget_far_end))

    def refuse(self) -> None:
        """New connections are refused, open ones go on."""
        self._on_loop(self._unlisten())

    def accept(self) -> None:
        """New connections are accepted again, on the same port."""
        self._on_loop(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        self._on_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            await self._unlisten()
            for way in self._ways.values():
                way.change(SOUND)
            tasks = [one.task for one in self._connections]
            await self._each(Connection.reset)
            await asyncio.gather(*tasks, return_exceptions=True)

        self._on_loop(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    # -- on the loop ---------------------------------------------------------------------------

    def _on_loop(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_TIMEOUT_S)

    async def _each(self, act: Callable[[Connection], None]) -> None:
        for connection in list(self._connections):
            act(connection)

    async def _listen(self) -> None:
        if self._accepting is None:
            if self._listener.fileno() < 0:
                self._listener = socket.create_server((self.host, self.port))
            self._listener.setblocking(False)
            self._accepting = asyncio.create_task(self._accept_all())

    async def _unlisten(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None
            self._listener.close()

    async def _accept_all(self) -> None:
        # Not asyncio's own server: it loses a connection that it accepts while it is closed.
        while True:
            accepted, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            connection = Connection(accepted, self.target, self._ways)
            self._connections.add(connection)
            connection.task.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if not task.cancelled():
            task.result()  # a fault of ours is told by the loop
