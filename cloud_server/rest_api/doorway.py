"""Where HTTP connections come in: counted and timed from the first packet, before TLS.

    accept -> counted -> first byte -> TLS, all within wait_s -> ``BoundedHttp``

Where there is TLS, nothing is made for a connection until it speaks: one that is silent costs a
place and a descriptor.

Where there are as many as may be, the one that has said nothing for the longest makes room: one
that is yet to speak, to finish its handshake or its header, takes no reply, or waits for a next
request. So nobody who only connects keeps out those who ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
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
# Connections taken in one go: then those that are inside have their turn.
_AT_ONCE = 16
# Of a reply, what the system takes beyond what is on its way: else it copies megabytes for whoever
# reads nothing. Not each system has it.
_UNSENT_BYTES, _UNSENT = 64 * 2**10, getattr(socket, "TCP_NOTSENT_LOWAT", None)
# For a handshake that began at the very end of its time.
_LEAST_S = 0.1


class _Http(Protocol):
    guest: Guest | None

    def make_room(self) -> None: ...


class Guest:
    """One connection, from its first packet on."""

    __slots__ = ("_doorway", "_silence", "_socket", "http")

    def __init__(self, doorway: Doorway, connection: socket.socket) -> None:
        self._doorway, self._socket = doorway, connection
        self._silence: asyncio.TimerHandle | None = None
        self.http: _Http | None = None  # once it has said who it is, where that is asked

    @property
    def is_silent(self) -> bool:
        """Whether it is yet to say its first byte, where that is waited for."""
        return self._silence is not None

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

    def listen(self, seconds: float, spoke: Callable[[Guest, socket.socket, float], None]) -> None:
        """Wait so long for its first byte; then ``spoke`` is told, and how much of it is left."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds

        def came() -> None:
            self._stop_listening()
            if _hung_up(self._socket):
                self.left()
                self._socket.close()
            else:
                spoke(self, self._socket, end_s - loop.time())

        self._silence = loop.call_at(end_s, self.hang_up)
        loop.add_reader(self._socket, came)

    def hang_up(self) -> None:
        """Close the connection, to make room for another one, or since it took too long."""
        self.left()
        if self._stop_listening():
            self._socket.close()
        elif self.http is not None:
            self.http.make_room()
        else:
            with contextlib.suppress(OSError):  # it has gone by itself
                self._socket.shutdown(socket.SHUT_RDWR)

    def _stop_listening(self) -> bool:
        """Whether it was yet to say its first byte."""
        if self._silence is None:
            return False
        self._silence.cancel()
        self._silence = None
        asyncio.get_running_loop().remove_reader(self._socket)
        return True


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
        for guest in [one for one in self.inside if one.is_silent]:
            guest.hang_up()

    async def wait_closed(self) -> None:
        """Return once nobody is on the way in any more."""
        waits = [*self._shaking, *([self._accepting] if self._accepting else ())]
        await asyncio.gather(*waits, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for number in itertools.count(1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
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
            if self._tls:
                guest.listen(self._wait_s, self._let_in)
            else:
                self._let_in(guest, connection, self._wait_s)

    def _let_in(self, guest: Guest, connection: socket.socket, seconds: float) -> None:
        task = asyncio.get_running_loop().create_task(self._come_in(guest, connection, seconds))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _come_in(self, guest: Guest, connection: socket.socket, seconds: float) -> None:
        def made() -> asyncio.Protocol:
            protocol = self._make()
            protocol.guest = guest  # type: ignore[attr-defined]  # see _Http
            return protocol

        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _UNSENT is not None:
                connection.setsockopt(socket.IPPROTO_TCP, _UNSENT, _UNSENT_BYTES)
            _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                made,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=max(seconds, _LEAST_S) if self._tls else None,
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


def _hung_up(connection: socket.socket) -> bool:
    """Whether the peer, from which something came, has closed without a word."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
