"""The browser's way up: messages of a WebSocket, and which way a call takes."""

from __future__ import annotations

import base64
from pathlib import Path

from splitfer.cloud_server.rest_api.stream_message import StreamMessage
from tests.browser.node import needs_node, run_module

pytestmark = needs_node


def test_messages_are_those_that_the_server_reads(tmp_path: Path) -> None:
    cases = [(0, 1.0, 0, b""), (7, 312.6, 1234.4, b"\x00\x01x"), (2**32 - 1, 0.2, 2.0**52, b"y")]
    given = {
        "messages": [[*numbers, base64.b64encode(body).decode()] for *numbers, body in cases],
        "tokens": ["splitfer_abc-_", "~~~???", "schl\u00fcssel"],
    }
    found = run_module("messages", given, tmp_path)
    for (number, remaining_ms, sent_ms, body), text in zip(cases, found["messages"], strict=True):
        expected = StreamMessage(number, max(1, round(remaining_ms)), round(sent_ms), body)
        assert StreamMessage.read(base64.b64decode(text)) == expected
    for token, packed in zip(given["tokens"], found["tokens"], strict=True):
        assert packed == base64.urlsafe_b64encode(str(token).encode()).decode().rstrip("=")


def test_each_call_has_its_reply_or_a_reason(tmp_path: Path) -> None:
    found = run_module("stream", {}, tmp_path)
    assert found["before"] == "link_down"
    assert found["opened"] == [
        False,
        1,
        "ws://server/v1/latents/stream?fingerprint=f00",
        ["splitfer.latents", "splitfer.token.YSB0b2tlbg"],
    ]
    assert found["replies"] == ['{"id":1,"error":{}}', '{"id":2,"faces":[]}', "deadline"]
    assert found["backlog"] == "deadline"
    assert found["broken"] == ["link_down", False]
    assert found["again"] == ["splitfer.latents"]
    assert found["strange"] == ["link_down", 3]


def test_the_quicker_way_is_taken_and_the_other_tried_again(tmp_path: Path) -> None:
    usual = {"calls": 200, "open": True}
    cases = [
        {**usual, "post": 30.0, "stream": 20.0},
        {**usual, "post": 20.0, "stream": 30.0},
        {**usual, "post": 20.0, "stream": 1.0, "open": False},
    ]
    stream, post, alone = run_module("ways", {"cases": cases}, tmp_path)
    assert 190 <= stream.count("stream") < 200
    assert 190 <= post.count("post") < 200
    assert set(alone) == {"post"}
