"""The device's own HTTP server, where it is reached from other machines."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from splitfer.edge_client.address import Address
from splitfer.edge_client.appliance.http_server import open_http_server
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.view.server import Shown, ViewServer

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
