"""Where HTTP connections come in: counted and timed from the first packet, before TLS.

    accept -> counted -> first byte -> TLS, all within wait_s -> ``BoundedHttp``

Nothing is made for a connection until it speaks: one that is silent costs a place and a descriptor.
One that says no more by then may still wait for a reply, and seldom does: where a crowd of its
address's wait for their turns, it is closed.

Where there are as many as may be, the one that has said nothing for the longest makes room: one
that is yet to speak, to finish its handshake or its header, takes no reply, or waits for a next
request. So nobody who only connects keeps out those who ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Protocol

from splitfer.cloud_server.admission.access import address_of
from splitfer.cloud_server.admission.turns import Turns

log = logging.getLogger(__name__)
# Connections beyond the bound, which get a 503 before they are closed.
_TOLD = 16
# Where the process or the machine has no descriptor left.
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_FULL_S = 0.05
# Connections taken in one go: then those that are inside have their turn.
_AT_ONCE = 4
# Of a reply, what the system takes beyond what is on its way: else it copies megabytes for whoever
# reads nothing. Not each system has it.
_UNSENT_BYTES, _UNSENT = 64 * 2**10, getattr(socket, "TCP_NOTSENT_LOWAT", None)
# What Linux says of a connection begins with its state.
_STATE, _ESTABLISHED = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None, 1
# For a handshake that began at the very end of its time.
_LEAST_S = 0.1


class _Http(Protocol):
    guest: Guest | None

    def make_room(self) -> None: ...


class Guest:
    """One connection, from its first packet on."""

    __slots__ = ("_doorway", "_end_s", "_silence", "address", "http", "socket")

    def __init__(self, doorway: Doorway, connection: socket.socket, address: str) -> None:
        self._doorway, self.socket, self.address = doorway, connection, address
        self._silence: asyncio.TimerHandle | None = None
        self._end_s = 0.0
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

    @property
    def left_s(self) -> float:
        """How much of its time is left for its first request's header."""
        return max(_LEAST_S, self._end_s - asyncio.get_running_loop().time())

    def listen(self, seconds: float, spoke: Callable[[Guest, socket.socket], None]) -> None:
        """Wait for its first byte, then tell ``spoke``; it has so long for that and its header."""
        loop = asyncio.get_running_loop()
        self._end_s = loop.time() + seconds

        def came() -> None:
            self._stop_listening()
            if _hung_up(self.socket) or self._doorway.is_late(self):
                self.left()
                self.socket.close()
            else:
                spoke(self, self.socket)

        self._silence = loop.call_at(self._end_s, self.hang_up)
        loop.add_reader(self.socket, came)

    def hang_up(self) -> None:
        """Close the connection, to make room for another one, or since it took too long."""
        self.left()
        if self._stop_listening():
            self.socket.close()
        elif self.http is not None:
            self.http.make_room()
        else:
            with contextlib.suppress(OSError):  # it has gone by itself
                self.socket.shutdown(socket.SHUT_RDWR)

    def _stop_listening(self) -> bool:
        """Whether it was yet to say its first byte."""
        if self._silence is None:
            return False
        self._silence.cancel()
        self._silence = None
        asyncio.get_running_loop().remove_reader(self.socket)
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
        turns: Turns,
    ) -> None:
        self._listener, self._make, self._most = listener, make, most
        self._wait_s, self._tls, self._turns = wait_s, tls, turns
        self.inside: set[Guest] = set()
        self.quiet: dict[Guest, None] = {}  # those of them, the longest first
        self._shaking: set[asyncio.Task[None]] = set()
        self._full: asyncio.TimerHandle | None = None
        self._open = False

    def open(self, backlog: int) -> None:
        """Listen, and accept connections from now on."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._open = True
        self._go_on()

    def close(self) -> None:
        """Accept no more connections."""
        if self._open:
            self._pause()
            self._open = False
        for task in self._shaking:
            task.cancel()
        for guest in [one for one in self.inside if one.is_silent]:
            guest.hang_up()

    async def wait_closed(self) -> None:
        """Return once nobody is on the way in any more."""
        await asyncio.gather(*self._shaking, return_exceptions=True)

    def _go_on(self) -> None:
        self._full = None
        asyncio.get_running_loop().add_reader(self._listener, self._accept_some)

    def _pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._full is not None:
            self._full.cancel()

    def _accept_some(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _FULL:
                    continue  # who came has gone again
                log.warning("no connection can be taken: %s", error.strerror)
                self._make_room()
                self._pause()
                self._full = asyncio.get_running_loop().call_later(_FULL_S, self._go_on)
                return
            connection.setblocking(False)
            self._receive(connection, address_of(address[0]))

    def _receive(self, connection: socket.socket, address: str) -> None:
        if self._turns.is_crowd(address) and _said_its_last(connection):
            connection.close()
            return
        full = len(self.inside) >= self._most and not self._make_room()
        if full and len(self.inside) >= self._most + _TOLD:
            connection.close()
            return
        guest = Guest(self, connection, address)
        self.inside.add(guest)
        guest.is_quiet()
        guest.listen(self._wait_s, self._let_in)

    def is_late(self, guest: Guest) -> bool:
        """Whether it said its last, and a crowd of its address's wait. If few do, it is one more
        of those."""
        crowd = self._turns.is_crowd(guest.address)
        if not _said_its_last(guest.socket):
            return False
        if not crowd:
            self._turns.owe(guest.address)
        return crowd

    def _let_in(self, guest: Guest, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._come_in(guest, connection))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _come_in(self, guest: Guest, connection: socket.socket) -> None:
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
                ssl_handshake_timeout=guest.left_s if self._tls else None,
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


def _said_its_last(connection: socket.socket) -> bool:
    """Whether the peer has hung up, or speaks no more; where the system does not say, False."""
    if _STATE is None:
        return False
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, _STATE, 1)[0] != _ESTABLISHED
    except OSError:
        return True


def _hung_up(connection: socket.socket) -> bool:
    """Whether the peer, from which something came, has closed without a word."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
