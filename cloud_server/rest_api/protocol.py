"""HTTP/1.1 from peers that may be slow on purpose: every wait for them has an end."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

# Of the request line and all headers together; h11 refuses more with 400.
HEADER_BYTES = 16 * 2**10
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b'{"error": {"code": "overloaded", "message": "too many connections", "retryable": true}}'
)


class BoundedHttp(H11Protocol):
    """One connection. h11 even where httptools is installed, since that one bounds no header.

    Within ``wait_s`` a new connection must send a whole header, a request that was answered before
    it had all been read must end, and a reply must be taken. The body of a request that is being
    answered is bounded by ``BodyLimit``.
    """

    wait_s: ClassVar[float]
    connections_max: ClassVar[int]
    _header: asyncio.TimerHandle | None = None
    _reply: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        """One more, where there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.write(_FULL)
            transport.close()
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Perhaps what was waited for."""
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        """The next request may come."""
        super().on_response_complete()
        self._expect()

    def pause_writing(self) -> None:
        """The peer does not read."""
        super().pause_writing()
        self._reply = self._reply or self.loop.call_later(self.wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        _stop(self._reply)
        self._reply = None

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        _stop(self._header)
        _stop(self._reply)
        super().connection_lost(exc)

    def _expect(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.transport.is_closing():
            _stop(self._header)
            self._header = None
        elif self._header is None:
            self._header = self.loop.call_later(self.wait_s, self.transport.abort)


def bounded_http(wait_s: float, connections_max: int) -> type[BoundedHttp]:
    """The protocol with these bounds; uvicorn makes one for each connection."""
    bounds: dict[str, Any] = {"wait_s": wait_s, "connections_max": connections_max}
    return type("BoundedHttp", (BoundedHttp,), bounds)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
