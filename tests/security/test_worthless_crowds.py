"""Many cheap calls and requests that bring nothing: they take turns, and others none."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.cloud_server.admission.turns import FIRST
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

TOKEN = new_token()
KNOWN = (("authorization", f"Bearer {TOKEN}"),)
CROWD, EVERY_S = 200, 0.004


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder: Path = tmp_path_factory.mktemp("config")
    (folder / "tokens.yaml").write_text(token_line("honest", TOKEN, [Scope.INFER]) + "\n")
    (folder / "cloud.yaml").write_text(f"tokens: {folder}/tokens.yaml\n")
    with CloudProcess(default_folder(), "--config", str(folder / "cloud.yaml")) as running:
        yield running


@pytest.mark.parametrize("method", ["splitfer.v1.SplitFer/Infer", "grpc.health.v1.Health/Check"])
@pytest.mark.parametrize("unknown", ["", "No"])
def test_calls_of_strangers_take_turns_and_nobody_else_waits_for_them(
    server: CloudProcess, method: str, unknown: str
) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(server.channel()) for _ in range(2)]
        stub = pb_grpc.SplitFerStub(stack.enter_context(server.channel()))
        stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S, metadata=KNOWN)  # connected
        started_s = time.monotonic()
        calls = [
            channel.unary_unary(f"/{method}{unknown}").future(b"", timeout=PATIENCE_S)
            for channel in crowd
            for _ in range(CROWD // len(crowd))
        ]
        assert stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S, metadata=KNOWN).fingerprint
        assert not all(call.done() for call in calls)
        codes = {call.code() for call in calls}
        assert time.monotonic() - started_s > 0.9 * CROWD * EVERY_S
        assert len(codes) == 1
        assert grpc.StatusCode.CANCELLED not in codes


def test_pipelined_requests_take_turns_and_nobody_else_waits_for_them(
    server: CloudProcess,
) -> None:
    with connected(server) as connection:
        started_s = time.monotonic()
        connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * CROWD)
        assert httpx.get(f"http://{server.http}/readyz", timeout=PATIENCE_S).status_code == 200
        replies = b""
        while replies.count(b"HTTP/1.1 404 ") < CROWD:
            replies += connection.recv(65536)
        assert time.monotonic() - started_s > 0.9 * CROWD * EVERY_S


HANDSHAKE = (
    "GET /v1/latents/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /v1/model HTTP/1.1\r\nHost: x\r\n\r\n", "401"),
        ("this is no HTTP\r\n\r\n", "400"),
        (HANDSHAKE, "401"),
    ],
)
def test_requests_on_ever_new_connections_take_turns_and_nobody_else_waits_for_them(
    server: CloudProcess, request_: str, status: str
) -> None:
    def one(_: int) -> bytes:
        with connected(server) as connection:
            connection.sendall(request_.encode())
            return connection.recv(65536)

    with ThreadPoolExecutor(40) as crowd:
        started_s = time.monotonic()
        replies = [crowd.submit(one, number) for number in range(CROWD)]
        # From the same address, and with a token.
        known = {"Authorization": f"Bearer {TOKEN}"}
        probed = httpx.get(f"http://{server.http}/readyz", headers=known, timeout=PATIENCE_S)
        assert probed.status_code == 200
        assert not all(reply.done() for reply in replies)
        said = {reply.result()[:12].decode() for reply in replies}
    assert said == {f"HTTP/1.1 {status}"}
    assert time.monotonic() - started_s > 0.9 * (CROWD - FIRST) * EVERY_S


def connected(server: CloudProcess) -> socket.socket:
    host, port = server.http.split(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)
