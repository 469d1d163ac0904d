"""Packed bodies: what unpacks to much keeps nobody waiting, and is counted as it unpacks."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.slowed import SlowedCallers
from splitfer.cloud_server.rest_api.body import ANSWERS_NOTHING, BodyLimit
from splitfer.shared.errors import Overloaded, PayloadTooLarge

BODY_BYTES = 8 * 2**20
BUDGET_BYTES = 64 * 2**20


def limited(budget: ByteBudget) -> tuple[BodyLimit, list[bytes]]:
    """A limit around an application, and the bodies that this one got."""
    got: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        got.append(body)

    return BodyLimit(app, BODY_BYTES, 20, budget), got


async def ask(limit: BodyLimit, body: bytes) -> None:
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(_: Message) -> None:
        pass

    scope: dict[str, Any] = {
        "type": "http",
        "path": "/v1/faces",
        "headers": [(b"content-encoding", b"gzip")],
    }
    await limit(scope, receive, send)


async def test_others_have_their_turn_while_a_body_unpacks() -> None:
    limit, got = limited(ByteBudget(BUDGET_BYTES))
    asking = asyncio.create_task(ask(limit, gzip.compress(bytes(BODY_BYTES))))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0)
        turns += 1
    await asking
    assert got == [bytes(BODY_BYTES)]
    assert turns >= BODY_BYTES // 2**17


async def test_what_unpacks_is_held_before_there_is_more_of_it() -> None:
    budget = ByteBudget(BUDGET_BYTES)
    limit, got = limited(budget)
    body = gzip.compress(bytes(BODY_BYTES))
    many = [asyncio.create_task(ask(limit, body)) for _ in range(30)]
    most = 0
    while not all(one.done() for one in many):
        most = max(most, budget.held_bytes)
        await asyncio.sleep(0)
    refused = [one.exception() for one in many]
    assert {type(error) for error in refused} == {type(None), Overloaded}
    assert len(got) == refused.count(None)
    assert 0 < most <= BUDGET_BYTES
    assert budget.held_bytes == 0


async def test_a_bomb_is_refused_at_the_limit() -> None:
    limit, got = limited(ByteBudget(BUDGET_BYTES))
    with pytest.raises(PayloadTooLarge):
        await ask(limit, gzip.compress(bytes(40 * BODY_BYTES)))
    assert got == []


@pytest.mark.parametrize(
    ("status", "nothing", "slowed"), [(200, False, 0), (200, True, 1), (413, False, 1)]
)
async def test_who_sends_what_has_no_answer_is_slowed(
    monkeypatch: pytest.MonkeyPatch, status: int, nothing: bool, slowed: int
) -> None:
    told = list[int]()
    monkeypatch.setattr(SlowedCallers, "refused", lambda _, __, size: told.append(size))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"] = {ANSWERS_NOTHING: nothing}
        await send({"type": "http.response.start", "status": status})

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(100_000), "more_body": False}

    async def send(_: Message) -> None:
        pass

    limit = BodyLimit(app, BODY_BYTES, 20, ByteBudget(BUDGET_BYTES))
    await limit({"type": "http", "path": "/v1/latents", "headers": []}, receive, send)
    assert told == [100_000] * slowed
