"""Messages that never become whole, on hundreds of streams, hold no more than their caller's share
of memory, and cost another caller no answer."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from benchmarks.attack import messages as of
from benchmarks.attack.memory import MemoryWatch
from benchmarks.attack.unfinished import UnfinishedStreams
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.integration.test_infer_stream import Stream
from tests.integration.test_latent_stream import message, replies, stream
from tests.processes import wait_until
from tests.security.test_hostile_websocket import HANDSHAKE

HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
MIB = 2**20
MESSAGE_BYTES, BUDGET_BYTES = MIB, 24 * MIB
SOCKETS, CONNECTIONS, STREAMS = 150, 4, 40
# Of what honest work and closing connections take beside the budget.
SLACK_MIB = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("config")
    lines = [
        token_line("honest", HONEST, [Scope.INFER]),
        token_line("rude", HOSTILE, [Scope.INFER]),
    ]
    (folder / "tokens.yaml").write_text("\n".join(lines))
    (folder / "cloud.yaml").write_text(
        f"tokens: {folder}/tokens.yaml\nin_flight_bytes: {BUDGET_BYTES}\n"
        "limits: {picture_pixels: 500000, body_bytes: 1048576, "
        f"infer_message_bytes: {MESSAGE_BYTES}}}\n"
    )
    with CloudProcess(default_folder(), "--config", str(folder / "cloud.yaml")) as running:
        yield running
        assert "Traceback" not in running.log


def test_websockets(server: CloudProcess) -> None:
    host, port = server.http.split(":")
    more = f"Authorization: Bearer {HOSTILE}\r\n"
    hello = HANDSHAKE.format(fingerprint=server.fingerprint, more=more).encode()
    begun = b"\x82\xff" + struct.pack(">Q", MESSAGE_BYTES) + bytes(4 + MESSAGE_BYTES - 1)
    opened: list[socket.socket] = []

    def refused() -> bool:
        """Whether more than half have heard of their end."""
        return len(select.select(opened, (), (), 0)[0]) > SOCKETS / 2

    with (
        MemoryWatch(server.pid) as memory,
        contextlib.ExitStack() as stack,
        stream(server, HONEST) as honest,
    ):
        for number in range(SOCKETS):
            rude = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            rude.sendall(hello)
            assert rude.recv(4096).startswith(b"HTTP/1.1 101 ")
            with contextlib.suppress(ConnectionError):
                rude.sendall(begun)
            opened.append(rude)
            if number % 10 == 0:
                honest.send(message(number))
                assert replies(honest, 1)[number]["faces"] == []
        wait_until(refused, "the connections were ended")
    assert memory.peak_mib - memory.idle_mib < BUDGET_BYTES / MIB + SLACK_MIB


def test_grpc_streams(server: CloudProcess) -> None:
    host, port = server.grpc.split(":")
    refused = sent = 0
    with (
        MemoryWatch(server.pid) as memory,
        contextlib.ExitStack() as stack,
        server.channel() as channel,
        Stream(server, channel, HONEST) as honest,
    ):
        for number in range(CONNECTIONS):
            to = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            streams = UnfinishedStreams(to, of.INFER_STREAM, HOSTILE, STREAMS, MESSAGE_BYTES)
            streams.go_on(1.0)
            refused, sent = refused + streams.refused, sent + streams.sent
            honest.send(number)
            assert honest.answers(1)[number].WhichOneof("outcome") == "response"
    assert refused > CONNECTIONS * STREAMS / 2
    assert sent > 0, "it is what was meant to be measured"
    assert memory.peak_mib - memory.idle_mib < BUDGET_BYTES / MIB + SLACK_MIB
