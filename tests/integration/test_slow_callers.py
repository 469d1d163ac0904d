"""Callers that are slow on purpose, as bare sockets: every wait for them has an end."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.integration.cloud_process import PATIENCE_S, CloudProcess

CONNECTIONS_MAX = 6
UPLOAD = b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
LAST_WORDS = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TOKEN = b"Authorization: Bearer only-for-this-test\r\n"


@pytest.fixture(scope="module")
def server(
    old_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("config") / "cloud.yaml"
    file.write_text(
        "token: only-for-this-test\nwait_s: 1\nreceive_s: 1\n"
        f"connections_max: {CONNECTIONS_MAX}\ngrpc_connections_max: {CONNECTIONS_MAX}\n"
    )
    with CloudProcess(old_weights_folder, "--config", str(file)) as server:
        yield server


@pytest.fixture
def connection(server: CloudProcess) -> Iterator[socket.socket]:
    with connected(server) as connection:
        yield connection


def connected(server: CloudProcess, address: str | None = None) -> socket.socket:
    host, port = (address or server.http).split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


@contextlib.contextmanager
def trickled(connection: socket.socket) -> Iterator[None]:
    """A byte now and then, for as long as the server takes them."""
    enough = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not enough.wait(0.1):
                connection.send(b"a")

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def until_the_end(connection: socket.socket) -> bytes:
    """All that comes; fails where the server keeps the connection."""
    reply = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            reply += part
    return reply


def lives(connection: socket.socket) -> None:
    """Ask whether the server lives, and take the whole of the reply."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = b""
    while not reply.endswith(b"}"):
        part = connection.recv(65536)
        assert part
        reply += part
    assert reply.startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_says_nothing(connection: socket.socket) -> None:
    assert until_the_end(connection) == b""


def test_headers_that_never_end(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    with trickled(connection):
        assert until_the_end(connection) == b""


def test_a_second_request_that_never_ends(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(12) == b"HTTP/1.1 200"
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    with trickled(connection):
        until_the_end(connection)


def test_a_body_that_never_ends(connection: socket.socket) -> None:
    connection.sendall(UPLOAD + TOKEN + b"\r\n")
    with trickled(connection):
        reply = until_the_end(connection)
    assert reply.startswith(b"HTTP/1.1 504 ")
    assert b'"code":"deadline"' in reply


def test_a_body_that_was_refused_and_never_ends(connection: socket.socket) -> None:
    connection.sendall(UPLOAD + b"\r\n")
    with trickled(connection):
        reply = until_the_end(connection)
    assert reply.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in reply


def test_headers_without_bound(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 17_000)
    reply = until_the_end(connection)
    assert reply.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "bad_request"' in reply


def test_a_header_over_the_limit_that_comes_at_once(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 16_400 + b"\r\n\r\n")
    assert until_the_end(connection).startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_refused_in_the_one_shape(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    reply = until_the_end(connection)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert set(json.loads(reply.partition(b"\r\n\r\n")[2])["error"]) == {
        "code",
        "message",
        "retryable",
    }


def test_an_idle_connection_outlives_the_wait_for_a_header(connection: socket.socket) -> None:
    lives(connection)
    threading.Event().wait(1.5)  # the time itself is tested: longer than wait_s
    lives(connection)
    # The next header has no more time than the first one had.
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    with trickled(connection):
        assert until_the_end(connection) == b""


def test_idle_connections_make_room(server: CloudProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * CONNECTIONS_MAX):
            connection = stack.enter_context(connected(server))
            lives(connection)


def test_a_caller_that_takes_no_reply(connection: socket.socket) -> None:
    def ask_for_ever() -> None:
        while True:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")

    with pytest.raises(ConnectionError):
        ask_for_ever()


def test_silent_connections_make_room(server: CloudProcess) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connected(server)) for _ in range(10 * CONNECTIONS_MAX)]
        lives(stack.enter_context(connected(server)))
        assert set(map(until_the_end, crowd)) == {b""}


def test_more_connections_than_there_is_room_for(server: CloudProcess) -> None:
    refused = b""
    for _ in range(20):  # bodies are waited for a second: on a busy machine it may be over
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTIONS_MAX):
                busy = stack.enter_context(connected(server))
                busy.sendall(UPLOAD + TOKEN + b"Expect: 100-continue\r\n\r\n")
                assert busy.recv(12) == b"HTTP/1.1 100"
            late = stack.enter_context(connected(server))
            late.sendall(LAST_WORDS)
            refused = until_the_end(late)
        if refused.startswith(b"HTTP/1.1 503 "):
            break
        assert refused.startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in refused
    assert b'"code": "overloaded"' in refused
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        assert client.get(f"http://{server.http}/healthz").status_code == 200


@pytest.mark.parametrize("method", ["splitfer.v1.SplitFer/Classify", "grpc.health.v1.Health/Check"])
def test_a_grpc_message_that_never_comes(server: CloudProcess, method: str) -> None:
    enough = threading.Event()

    def silence() -> Iterator[bytes]:
        enough.wait(PATIENCE_S)
        yield from ()

    with server.channel() as channel:
        call = channel.stream_unary(f"/{method}")
        try:
            with pytest.raises(grpc.RpcError) as raised:
                call(
                    silence(),
                    metadata=(("authorization", "Bearer only-for-this-test"),),
                    wait_for_ready=True,
                )
        finally:
            enough.set()
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "did not arrive" in raised.value.details()


def test_grpc_metadata_without_bound(server: CloudProcess) -> None:
    with server.channel() as channel:
        call = channel.unary_unary("/splitfer.v1.SplitFer/GetModel")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", metadata=(("x", "a" * 17_000),), timeout=PATIENCE_S, wait_for_ready=True)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        metadata = (("authorization", "Bearer only-for-this-test"),)
        assert call(b"", metadata=metadata, timeout=PATIENCE_S, wait_for_ready=True)


def test_more_grpc_connections_than_there_is_room_for(server: CloudProcess) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(connected(server, server.grpc)) for _ in range(10 * CONNECTIONS_MAX)
        ]
        # Who is let in hears HTTP/2's first words, and is closed for saying nothing.
        let_in = [bool(until_the_end(one)) for one in crowd]
    assert set(let_in) == {True, False}
    with server.channel() as channel:
        call, metadata = (
            channel.unary_unary("/splitfer.v1.SplitFer/GetModel"),
            "Bearer only-for-this-test",
        )
        assert call(
            b"", metadata=(("authorization", metadata),), timeout=PATIENCE_S, wait_for_ready=True
        )
