"""What a WebSocket of latents carries: messages in, replies out.

id 4 | deadline_ms 4 | sent_ms 8 | payload length 2, payload | ...      all big endian
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from splitfer.cloud_server.rest_api.latents import (
    LatentsBody,
    most_body_bytes,
    reply_fields,
    split_payloads,
)
from splitfer.cloud_server.rest_api.schema import ErrorDetail, error_detail
from splitfer.cloud_server.service.results import Inferred
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import SplitFerError

_HEADER = struct.Struct(">IIQ")


@dataclass(frozen=True)
class StreamMessage:
    """One frame's payloads. ``deadline_ms`` is what remained when it was sent, 0 where the caller
    names none; ``sent_ms`` is the caller's clock then, 0 where it has none. ``body`` is that of
    ``POST /v1/latents``."""

    id: int
    deadline_ms: int
    sent_ms: int
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> StreamMessage | None:
        """None where it is too short to be one."""
        if len(data) < _HEADER.size:
            return None
        number, deadline_ms, sent_ms = _HEADER.unpack_from(data)
        return cls(number, deadline_ms, sent_ms, bytes(data[_HEADER.size :]))

    def payloads(self, most: int) -> list[bytes]:
        """The payloads.

        Raises:
            PayloadTooLarge: there are more than ``most``.
            MalformedPayload: the body is none.
        """
        return split_payloads(self.body, most)


def most_message_bytes(limits: Limits) -> int:
    """Bytes of the largest message."""
    return _HEADER.size + most_body_bytes(limits)


class _StreamedLatents(LatentsBody):
    id: int = Field(description="of the message that it answers")


class _StreamedError(BaseModel):
    id: int
    error: ErrorDetail


def reply(number: int, payloads: list[bytes], inferred: Inferred) -> str:
    """The answer to message ``number``, as JSON."""
    fields: dict[str, Any] = reply_fields(payloads, inferred)
    return _StreamedLatents(id=number, **fields).model_dump_json()


def refusal(number: int, error: SplitFerError) -> str:
    """Why message ``number`` has none, as JSON."""
    return _StreamedError(id=number, error=error_detail(error)).model_dump_json()
