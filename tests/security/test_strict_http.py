"""What readers of HTTP differ in is refused, also behind another request in one piece."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.rest_api.protocol import HEADER_BYTES, bounded_http
from splitfer.cloud_server.rest_api.safe_headers import SAFE, SafeHeaders

GOOD = b"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
BOTH = b"POST /bad HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n"
LAST = b"GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def served(scopes: list[Scope] | None = None) -> tuple[ASGIApp, list[str]]:
    """An application, and the paths it was asked for; ``scopes`` gets all that it was told."""
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        if scopes is not None:
            scopes.append(scope)
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return SafeHeaders(app), asked


def replies(app: ASGIApp, *pieces: bytes, connections_max: int = 10) -> bytes:
    """All that one connection is answered which sends ``pieces``."""

    async def talk() -> bytes:
        config = uvicorn.Config(
            app,
            http=bounded_http(5, connections_max, Admission(Access(CloudConfig()), Health())),
            lifespan="off",
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),
            "127.0.0.1",
            0,
        )
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await _turns(3)
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()
            await _settled(writer.wait_closed())
            listener.close()
            await listener.wait_closed()

    return asyncio.run(talk())


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _settled(closing: Awaitable[None]) -> None:
    with contextlib.suppress(ConnectionError):
        await closing


@pytest.mark.parametrize(
    "bad",
    [
        b"GET /bad HTTP/1.1\nHost: x\n\n",
        b"GET /bad HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET /bad HTTP/1.1\r\nHost: x\r\n\n",
        BOTH + b"0\r\n\r\n",
        b"POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["line feeds", "one of them", "the last of them", "two lengths", "two sizes", "encodings"],
)
@pytest.mark.parametrize("before", [b"", GOOD], ids=["first", "behind another"])
def test_a_header_that_could_be_two_is_refused(bad: bytes, before: bytes) -> None:
    app, asked = served()
    got = replies(app, before + bad)
    *fine, refused = got.split(b"HTTP/1.1 ")[1:]
    assert asked == ["/good"] * len(fine) == ["/good"] * (before != b"")
    assert refused.startswith((b"400 ", b"501 ")), got


@pytest.mark.parametrize("cut", range(1, len(LAST), 7))
def test_a_good_header_may_come_in_pieces(cut: int) -> None:
    app, asked = served()
    got = replies(app, GOOD + LAST[:cut], LAST[cut:])
    assert got.count(b"HTTP/1.1 204 ") == 2
    assert asked == ["/good", "/good"]


def test_line_feeds_in_a_body_are_a_bodys_own() -> None:
    app, _ = served()
    body = b"a\nb\n\nc\n"
    head = b"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert replies(app, head + body + LAST).count(b"HTTP/1.1 204 ") == 2


@pytest.mark.parametrize(
    ("request_", "connections_max", "status"),
    [
        (b"nonsense\r\n\r\n", 10, b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2 * HEADER_BYTES + b"\r\n\r\n", 10, b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * HEADER_BYTES + b"\r\n\r\n", 10, b"431"),
        (LAST, 0, b"503"),
        (LAST, 10, b"204"),
    ],
    ids=["no HTTP", "far too long", "too long", "too many", "good"],
)
def test_every_reply_says_what_browsers_shall_not_do(
    request_: bytes, connections_max: int, status: bytes
) -> None:
    app, _ = served()
    got = replies(app, request_, connections_max=connections_max)
    assert got.startswith(b"HTTP/1.1 " + status), got
    head = got.partition(b"\r\n\r\n")[0].lower()
    for name, value in SAFE:
        assert head.count(b"\r\n" + name + b": " + value) == 1


def test_http2_is_told_where_grpc_is() -> None:
    app, asked = served()
    reply = replies(app, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 505 ")
    assert b"gRPC has a port of its own, grpc_port" in reply
    assert reply.count(b"HTTP/1.1 5") == 1
    assert asked == []


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://cloud.example/good?a=/b", "/good", b"a=/b", b"cloud.example"),
        (b"HTTPS://[::1]:8080/v2/%41", "/v2/A", b"", b"[::1]:8080"),
        (b"http://cloud.example", "/", b"", b"cloud.example"),
        (b"http://cloud.example?a", "/", b"a", b"cloud.example"),
        (b"http://cloud.example//good", "//good", b"", b"cloud.example"),
        (b"/http://cloud.example/", "/http://cloud.example/", b"", b"x"),
    ],
)
def test_a_target_may_be_a_whole_address_as_proxies_are_asked(
    target: bytes, path: str, query: bytes, host: bytes
) -> None:
    scopes: list[Scope] = []
    app, asked = served(scopes)
    got = replies(app, GOOD + LAST.replace(b"/good", target))
    assert got.count(b"HTTP/1.1 204 ") == 2
    assert asked == ["/good", path]
    assert scopes[1]["query_string"] == query
    assert [v for name, v in scopes[1]["headers"] if name == b"host"] == [host]


@pytest.mark.parametrize(
    "request_",
    [
        LAST.replace(b"/good", b"http:///good"),
        LAST.replace(b"/good", b"http://:80/good"),
        LAST.replace(b"/good", b"http://somebody:secret@cloud.example/good"),
        LAST.replace(b"/good", b"http://[/good"),
        LAST.replace(b"Host: x", b"Host: [x"),
        LAST.replace(b"Host: x", b"Host: x/v2"),
        LAST.replace(b"Host: x", b"Host: x?"),
        LAST.replace(b"Host: x", b"Host: x@y"),
        LAST.replace(b"Host: x", b"Host: x y"),
        LAST.replace(b"Host: x\r\n", b""),
        LAST.replace(b"Host: x", b"Host: x\r\nHost: y"),
    ],
)
def test_a_host_that_is_none_is_refused(request_: bytes) -> None:
    app, asked = served()
    assert replies(app, request_).startswith(b"HTTP/1.1 400 ")
    assert asked == []
