"""One WebSocket of latents: its messages and replies, and its last word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.types import Receive, Send

from splitfer.cloud_server.rest_api.stream_message import StreamMessage, refusal, reply
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.service.stream_wire import Asked, End
from splitfer.shared.errors import MalformedPayload, SplitFerError
from splitfer.shared.labels import LabelSet

# Codes of WebSocket's, and words for people.
_LAST_WORDS = {
    End.DONE: (1000, ""),
    End.IDLE: (1000, "idle"),
    End.DRAINED: (1001, "the server is stopping"),
}
_NO_MESSAGE = (1003, "not a message of latents: see docs/api/stream.md")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class OfConnection:
    """What all messages of one connection ask for; empty and None mean the defaults. Each has at
    most ``faces_max`` payloads."""

    fingerprint: str
    tail: str
    labels: LabelSet | None
    faces_max: int


class StreamedLatents:
    """One message."""

    __slots__ = ("_of", "_payloads", "_said", "deadline_ms", "headers", "sent_ms", "size_bytes")

    def __init__(self, said: StreamMessage, of: OfConnection) -> None:
        self._said, self._of, self._payloads = said, of, list[bytes]()
        self.size_bytes, self.headers = len(said.body), _NO_HEADERS
        self.deadline_ms: float = said.deadline_ms
        self.sent_ms: float = said.sent_ms

    def asked(self) -> Asked:
        """What it asks.

        Raises:
            PayloadTooLarge: there are more of them than may be.
            MalformedPayload: its body is no payloads.
        """
        of = self._of
        self._payloads = self._said.payloads(of.faces_max)
        return Asked(self._payloads, of.fingerprint, of.tail, of.labels)

    def answer(self, inferred: Inferred) -> tuple[str, int]:
        """The reply, and its bytes."""
        text = reply(self._said.id, self._payloads, inferred)
        return text, len(text)

    def refusal(self, error: SplitFerError) -> tuple[str, int]:
        """The same, where it has no answer."""
        text = refusal(self._said.id, error)
        return text, len(text)


class WebSocketWire:
    """The connection, which ends after ``idle_s`` without a message."""

    protocol, method = "http", "WS /v1/latents/stream"

    def __init__(self, receive: Receive, send: Send, of: OfConnection, idle_s: float) -> None:
        self._receive, self._send = receive, send
        self._of, self._idle_s = of, idle_s

    async def read(self) -> StreamedLatents | End:
        """The next message, or why there will be none.

        Raises:
            MalformedPayload: something that is no message came.
        """
        try:
            async with asyncio.timeout(self._idle_s):
                event = await self._receive()
        except TimeoutError:
            return End.IDLE
        if event["type"] == "websocket.disconnect":
            return End.GONE
        message = StreamMessage.read(event.get("bytes") or b"")
        if message is None:
            raise MalformedPayload(_NO_MESSAGE[1])
        return StreamedLatents(message, self._of)

    async def write(self, reply: str) -> None:
        """Send one."""
        await self._send({"type": "websocket.send", "text": reply})

    async def close(self, end: End | SplitFerError) -> None:
        """Say why it is over, where there is anybody to hear it."""
        if end is not End.GONE:
            code, reason = _LAST_WORDS[end] if isinstance(end, End) else _NO_MESSAGE
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
