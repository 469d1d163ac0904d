"""The device's own HTTP server, where it is reached from other machines."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from splitfer.edge_client.address import Address
from splitfer.edge_client.appliance.http_server import open_http_server
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.view.bounded_server import CONNECTIONS
from splitfer.edge_client.view.server import Shown, ViewServer
from tests.processes import wait_until

EVERYWHERE = Address("0.0.0.0", 0)
SHOWN = Shown(lambda: (True, {"health": "ok"}), lambda: b"metrics of the run", lambda _: None)


@contextmanager
def listening(address: Address, **settings: object) -> Iterator[ViewServer]:
    server = open_http_server(EdgeConfig(**settings), address, SHOWN)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.close()


def metrics(server: ViewServer, token: str | None = None) -> bytes:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
        return bytes(reply.read())


def test_a_new_token_is_printed_and_opens_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(EVERYWHERE) as server:
        said = re.fullmatch(
            rf"edge-client: http://0\.0\.0\.0:{server.port}/ asks for the token (\S+)\n",
            capsys.readouterr().err,
        )
        assert said
        assert metrics(server, said[1]) == b"metrics of the run"
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            metrics(server)
        refused.value.close()


def test_a_token_of_the_settings_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(EVERYWHERE, listen_token="a-token-of-the-settings") as server:
        assert metrics(server, "a-token-of-the-settings") == b"metrics of the run"
    assert capsys.readouterr().err == ""


def test_on_loopback_no_token_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Address("127.0.0.1", 0)) as server:
        assert metrics(server) == b"metrics of the run"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "begun", [b"", b"GET /me", b"POST /control HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
def test_those_who_say_nothing_keep_nobody_out(
    begun: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(Address("127.0.0.1", 0)) as server, ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(60)
        ]
        for one in crowd:
            with suppress(ConnectionError):  # it has made room already
                one.sendall(begun)
        for _ in range(3):
            assert metrics(server) == b"metrics of the run"
    assert capsys.readouterr().err == ""


def test_those_who_take_no_reply_keep_nobody_out() -> None:
    asked: list[bool] = []

    def large() -> bytes:
        asked.append(True)
        return bytes(16 * 2**20)

    shown = Shown(lambda: (True, {"health": "ok"}), large, lambda _: None)
    server = ViewServer(Address("127.0.0.1", 0), shown)
    with ExitStack() as stack:
        stack.callback(server.close)
        for _ in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(asked) == CONNECTIONS, "all to be answered")
        for _ in range(3):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.port}/healthz", timeout=10
            ) as reply:
                assert reply.status == 200


def asked_as(server: ViewServer, request: bytes) -> bytes:
    """The whole reply, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as caller:
        caller.sendall(request)
        reply = b""
        while piece := caller.recv(65536):
            reply += piece
        return reply


def test_headers_are_bounded_together() -> None:
    begin = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with listening(Address("127.0.0.1", 0)) as server:
        some = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 400) for i in range(20))
        assert asked_as(server, begin + some + b"\r\n").startswith(b"HTTP/1.1 200 ")
        reply = asked_as(server, begin + 3 * some + b"\r\n")
        assert reply.startswith(b"HTTP/1.1 431 ")


def test_replies_leave_the_processor_to_the_frames() -> None:
    """Of a flood of requests on open connections 200 a second are answered."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with listening(Address("127.0.0.1", 0)) as server:
        start_s = time.monotonic()
        reply = asked_as(server, 100 * (request + b"\r\n") + request + b"Connection: close\r\n\r\n")
        assert reply.count(b"HTTP/1.1 200 ") == 101
        assert time.monotonic() - start_s >= 0.5
