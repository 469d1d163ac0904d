"""Where HTTP connections come in: counted and timed from the first packet, before TLS.

    accept -> counted -> TLS, within wait_s -> ``BoundedHttp``

Where there are as many as may be, the one that has said nothing for the longest makes room: one
that is yet to finish its handshake or its header, or waits for a next request. So nobody who only
connects keeps out those who ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)
# Connections beyond the bound, which get a 503 before they are closed.
_TOLD = 16
# Where the process or the machine has no descriptor left.
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_FULL_S = 0.05


class _Http(Protocol):
    guest: Guest | None

    def make_room(self) -> None: ...


class Guest:
    """One connection, from its first packet on."""

    __slots__ = ("_doorway", "_socket", "http")

    def __init__(self, doorway: Doorway, connection: socket.socket) -> None:
        self._doorway, self._socket = doorway, connection
        self.http: _Http | None = None  # once it has said who it is, where that is asked

    def asks(self) -> None:
        """Note that a request of it is being answered: it is not hung up on to make room."""
        self._doorway.quiet.pop(self, None)

    def is_quiet(self) -> None:
        """Note that nothing is being answered: it may be hung up on to make room."""
        self._doorway.quiet.setdefault(self)

    def left(self) -> None:
        """Forget the connection, which is over."""
        self._doorway.quiet.pop(self, None)
        self._doorway.inside.discard(self)

    def hang_up(self) -> None:
        """Close the connection, to make room for another one."""
        self.left()
        if self.http is not None:
            self.http.make_room()
        else:
            with contextlib.suppress(OSError):  # it has gone by itself
                self._socket.shutdown(socket.SHUT_RDWR)


class Doorway:
    """Lets at most ``most`` in; ``make`` makes the protocol of one. ``close`` ends it, and those
    that are inside stay."""

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        most: int,
        wait_s: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener, self._make, self._most = listener, make, most
        self._wait_s, self._tls = wait_s, tls
        self.inside: set[Guest] = set()
        self.quiet: dict[Guest, None] = {}  # those of them, the longest first
        self._shaking: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def open(self, backlog: int) -> None:
        """Listen, and accept connections from now on."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        loop = asyncio.get_running_loop()
        self._accepting = loop.create_task(self._accept(), name="doorway")

    def close(self) -> None:
        """Accept no more connections."""
        if self._accepting is not None:
            self._accepting.cancel()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once nobody is on the way in any more."""
        waits = [*self._shaking, *([self._accepting] if self._accepting else ())]
        await asyncio.gather(*waits, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _FULL:
                    log.warning("no connection can be taken: %s", error.strerror)
                    self._make_room()
                    await asyncio.sleep(_FULL_S)
                continue  # who came has gone again
            full = len(self.inside) >= self._most and not self._make_room()
            if full and len(self.inside) >= self._most + _TOLD:
                connection.close()
                continue
            guest = Guest(self, connection)
            self.inside.add(guest)
            guest.is_quiet()
            task = loop.create_task(self._let_in(guest, connection))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _let_in(self, guest: Guest, connection: socket.socket) -> None:
        def made() -> asyncio.Protocol:
            protocol = self._make()
            protocol.guest = guest  # type: ignore[attr-defined]  # see _Http
            return protocol

        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                made,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._wait_s if self._tls else None,
            )
        except (OSError, TimeoutError):
            guest.left()
            connection.close()
        except BaseException:
            guest.left()
            connection.close()
            raise
        else:
            guest.http = protocol  # type: ignore[assignment]  # see _Http

    def _make_room(self) -> bool:
        guest = next(iter(self.quiet), None)
        if guest is not None:
            guest.hang_up()
        return guest is not None
