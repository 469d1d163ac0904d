"""How files go out: in pieces, each once those before it are taken."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.rest_api.files import Pieces, file_route

PLAIN = np.random.default_rng(0).integers(0, 4, 3_000_001, dtype=np.uint8).tobytes()
KEPT_BYTES = 64 * 2**10


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("content", [PLAIN, bytes(5_000_000), b"x", b""])
async def test_a_packed_file_is_what_was_packed(encoding: str, content: bytes) -> None:
    packed = gzip.compress(content)
    app = Starlette(routes=[file_route("/a", packed, "text/plain", "none", Turns(), packed=True)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        answer = await client.get("/a", headers={"Accept-Encoding": encoding})
        assert answer.content == content
        sent = len(packed) if encoding == "gzip" else len(content)
        assert answer.headers["content-length"] == str(sent)
        again = await client.get("/a", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_packed_file_is_unpacked_once_and_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = list[threading.Thread]()

    def counted(packed: bytes) -> bytes:
        threads.append(threading.current_thread())
        return PLAIN

    packed = gzip.compress(PLAIN)
    monkeypatch.setattr("splitfer.cloud_server.rest_api.files.gzip.decompress", counted)
    app = Starlette(routes=[file_route("/a", packed, "text/plain", "none", Turns(), packed=True)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        asked = (client.get("/a", headers={"Accept-Encoding": "identity"}) for _ in range(5))
        assert all(answer.content == PLAIN for answer in await asyncio.gather(*asked))
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_no_more_than_a_piece_waits_for_a_caller() -> None:
    response = Pieces(PLAIN, Turns())
    taken, pieces = asyncio.Semaphore(0), list[bytes]()

    async def send(message: Message) -> None:
        pieces.append(message.get("body", b""))
        await taken.acquire()

    answering = asyncio.create_task(response(_SCOPE, _still_there, send))
    while not pieces:  # noqa: ASYNC110  # a list tells nobody
        await asyncio.sleep(0)
    sent = 0
    while sent < len(PLAIN):
        before = len(pieces)
        taken.release()
        while len(pieces) == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert len(pieces) == before + 1
        assert len(pieces[-1]) <= KEPT_BYTES
        sent += len(pieces[-1])
    taken.release()
    taken.release()
    await answering
    assert b"".join(pieces) == PLAIN


async def test_a_caller_that_hung_up_is_sent_no_more() -> None:
    pieces = list[Message]()

    async def hung_up() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pieces.append(message)
        await asyncio.sleep(0)

    await Pieces(bytes(50_000_000), Turns())(_SCOPE, hung_up, send)
    assert len(pieces) < 5


_SCOPE: dict[str, Any] = {"type": "http"}


async def _still_there() -> Message:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}
