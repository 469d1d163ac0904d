"""An HTTP server with a thread for each of a bounded number of connections."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from splitfer.edge_client.address import Address

CONNECTIONS = 24
"""At once."""

# Between two replies, of all connections: what answers frames needs the processor.
_A_REPLY_S = 0.005
# For the thread of a connection that made room.
_ROOM_S = 1.0
# Of all of a request's headers; Python would take a hundred of 64 KiB.
_LONGEST_HEADERS_BYTES = 16 * 2**10

_log = logging.getLogger(__name__)


class BoundedServer(ThreadingHTTPServer):
    """One that waits for its caller makes room for a new one, where all connections are taken.

    Raises:
        OSError: it cannot listen at ``address``.
    """

    daemon_threads = True
    block_on_close = False
    # Of those that are not accepted yet. Beyond the 5 of socketserver a connection is tried again
    # after a second, and a browser opens six at once.
    request_queue_size = 64

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        # Connections that wait for their caller, to ask or to take a reply, the longest first.
        self._silent: dict[Any, None] = {}
        self._lock = threading.Lock()
        self._turn_at_s = 0.0
        super().__init__((address.host, address.port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a new connection, where there is room."""
        if not (self._free.acquire(blocking=False) or self._make_room()):
            self.shutdown_request(request)
            return
        self.is_silent(request, True)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._left(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._left(request)

    def is_silent(self, connection: Any, silent: bool) -> None:
        """Whether it waits for its caller: then it may make room for another one."""
        with self._lock:
            if silent:
                self._silent[connection] = None
            else:
                self._silent.pop(connection, None)

    def wait_for_turn(self) -> None:
        """Return when the next request may be answered, in the order in which they ask."""
        with self._lock:
            now_s = time.monotonic()
            at_s = max(now_s, self._turn_at_s)
            self._turn_at_s = at_s + _A_REPLY_S
        if at_s > now_s:
            time.sleep(at_s - now_s)

    def _left(self, connection: Any) -> None:
        self.is_silent(connection, False)
        self._free.release()

    def _make_room(self) -> bool:
        with self._lock:
            longest = next(iter(self._silent), None)
            if longest is None:
                return False
            del self._silent[longest]
            with contextlib.suppress(OSError):  # it has gone by itself
                longest.shutdown(socket.SHUT_RDWR)
        return self._free.acquire(timeout=_ROOM_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers leave when they like."""
        _log.debug("a caller of the page left", exc_info=True)


class HeaderLines:
    """The lines of a request's headers, of which ``file`` has more."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file, self._left = file, _LONGEST_HEADERS_BYTES

    def readline(self, size: int) -> bytes:
        """The next line, of at most ``size`` bytes.

        Raises:
            LineTooLong: they are more than may be.
        """
        line = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("header line")
        return line
