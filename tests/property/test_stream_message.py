"""Messages of a WebSocket of latents: what was packed is read, and anything else is refused."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.rest_api.stream_message import StreamMessage
from splitfer.shared.errors import MalformedPayload
from splitfer.shared.wire import DEADLINE_MS_MAX

NUMBER, CLOCK = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@given(
    NUMBER, st.integers(0, DEADLINE_MS_MAX), CLOCK, st.lists(st.binary(max_size=300), max_size=8)
)
def test_what_was_packed_is_read(
    number: int, deadline_ms: int, sent_ms: int, payloads: list[bytes]
) -> None:
    body = b"".join(struct.pack(">H", len(one)) + one for one in payloads)
    found = StreamMessage.read(struct.pack(">IIQ", number, deadline_ms, sent_ms) + body)
    assert found == StreamMessage(number, deadline_ms, sent_ms, body)
    assert found.payloads(8) == payloads


@given(st.binary(max_size=64))
def test_anything_is_a_message_an_error_or_too_short(data: bytes) -> None:
    found = StreamMessage.read(data)
    assert (found is None) == (len(data) < 16)
    if found is None:
        return
    try:
        payloads = found.payloads(64)
    except MalformedPayload:
        return
    assert sum(2 + len(one) for one in payloads) == len(data) - 16
