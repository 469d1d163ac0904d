"""WebSockets of strangers and of callers that misuse what they may: bounded in bytes, frames and
time, and no concern of anybody else's."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.frames import Frame, Opcode

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.cloud_server.rest_api.websocket import CONTROL_FRAMES_MAX, FRAGMENTS_MAX
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.integration.test_latent_stream import message, replies, stream
from tests.security.test_before_admission import SLACK_MIB, peak_mib

TOKEN, OTHER = new_token(), new_token()
WAIT_S = 1.0
HANDSHAKE = (
    "GET /v1/latents/stream?fingerprint={fingerprint} HTTP/1.1\r\nHost: x\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    write_tokens(folder, TOKEN)
    (folder / "cloud.yaml").write_text(
        f"tokens: {folder}/tokens.yaml\nreceive_s: {WAIT_S}\nwait_s: {WAIT_S}\n"
        f"pid_file: {folder}/pid\nstream_in_flight: 1000\n"
    )
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(default_folder(), "--config", str(folder / "cloud.yaml")) as running:
        yield running
        assert "Traceback" not in running.log
        assert "Fatal error" not in running.log


def write_tokens(folder: Path, token: str) -> None:
    (folder / "tokens.yaml").write_text(token_line("all", token, [Scope.INFER]) + "\n")


def raw(server: CloudProcess, token: str | None = TOKEN) -> socket.socket:
    """A connection after its handshake was sent, whatever came of it."""
    host, port = server.http.split(":")
    connection = socket.create_connection((host, int(port)), PATIENCE_S)
    more = "" if token is None else f"Authorization: Bearer {token}\r\n"
    text = HANDSHAKE.format(fingerprint=server.fingerprint, more=more)
    connection.sendall(text.encode())
    return connection


def opened(server: CloudProcess) -> socket.socket:
    connection = raw(server)
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def frame(opcode: Opcode, data: bytes = b"", fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def send_until_it_ends(connection: socket.socket, piece: bytes, times: int) -> int:
    """How many were sent until the server would have no more."""
    connection.settimeout(PATIENCE_S)
    for count in range(times):
        try:
            connection.sendall(piece)
        except OSError:
            return count
    return times


def end_of(connection: socket.socket) -> bytes:
    """All that came until the server hung up."""
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            got += data
    return bytes(got)


def close_code(got: bytes) -> int | None:
    """Of the last frame, where it is one that closes."""
    place = got.rfind(b"\x88")
    return None if place < 0 else struct.unpack_from(">H", got, place + 2)[0]


def test_a_strangers_frames_are_not_read(server: CloudProcess) -> None:
    before = peak_mib(server)
    for _ in range(20):
        with raw(server, token=None) as stranger:
            send_until_it_ends(stranger, frame(Opcode.BINARY, bytes(200_000)), 20)
            got = end_of(stranger)
            assert got == b"" or got.startswith(b"HTTP/1.1 401 ")
    assert peak_mib(server) - before < SLACK_MIB


@pytest.mark.parametrize("announced", [2**20, 2**40, 2**62])
def test_a_big_frame_is_refused_by_its_length(server: CloudProcess, announced: int) -> None:
    before = peak_mib(server)
    with opened(server) as caller:
        caller.sendall(b"\x82\xff" + struct.pack(">Q", announced) + bytes(4))
        assert close_code(end_of(caller)) == 1009
    assert peak_mib(server) - before < SLACK_MIB


def test_fragments_are_counted_in_bytes_and_in_number(server: CloudProcess) -> None:
    before = peak_mib(server)
    with opened(server) as caller:
        caller.sendall(frame(Opcode.BINARY, bytes(100_000), fin=False))
        caller.sendall(frame(Opcode.CONT, bytes(100_000), fin=False))
        send_until_it_ends(caller, frame(Opcode.CONT, bytes(100_000), fin=False), 3)
        assert close_code(end_of(caller)) in (1009, None)  # a reset may be quicker
    with opened(server) as caller:
        caller.sendall(frame(Opcode.BINARY, fin=False))
        empty = frame(Opcode.CONT, fin=False)
        sent = send_until_it_ends(caller, empty * 1000, 10_000)
        assert sent < 10_000
        assert close_code(end_of(caller)) in (1008, None)
    assert peak_mib(server) - before < SLACK_MIB


def test_a_message_in_some_fragments_is_one(server: CloudProcess) -> None:
    whole = message(5)
    parts = [whole[at : at + 1] for at in range(len(whole))]
    with stream(server, TOKEN) as caller:
        caller.send(parts)
        assert replies(caller, 1)[5]["faces"] == []
    assert len(parts) < FRAGMENTS_MAX


# Named: each frame's mask is drawn, and the processes that share the tests must agree on names.
@pytest.mark.parametrize(
    "begun",
    [b"\x82", b"\x82\xfe\x10\x00", frame(Opcode.BINARY, b"a", False)],
    ids=["half a head", "a head alone", "a fragment"],
)
def test_a_message_that_has_begun_must_be_whole_soon(server: CloudProcess, begun: bytes) -> None:
    with opened(server) as caller:
        caller.sendall(begun)
        started = time.monotonic()
        assert end_of(caller) == b""
        assert time.monotonic() - started < PATIENCE_S / 2


def test_a_connection_that_is_silent_between_messages_stays(server: CloudProcess) -> None:
    with stream(server, TOKEN) as caller:
        caller.send(message(1))
        replies(caller, 1)
        with pytest.raises(TimeoutError):
            caller.recv(2 * WAIT_S)
        caller.send(message(2))
        assert 2 in replies(caller, 1)


def test_a_flood_of_pings_ends_its_connection(server: CloudProcess) -> None:
    with opened(server) as caller:
        ping = frame(Opcode.PING, b"x" * 125)
        caller.sendall(ping * CONTROL_FRAMES_MAX)
        pongs = b""
        while pongs.count(b"\x8a\x7d") < CONTROL_FRAMES_MAX:
            pongs += caller.recv(65536)
        caller.sendall(ping)
        assert close_code(end_of(caller)) == 1008


def test_who_reads_no_replies_is_held_up_and_then_let_go(server: CloudProcess) -> None:
    """Small requests with large replies, none of which is read."""
    before = peak_mib(server)
    with opened(server) as caller:
        caller.settimeout(5 * WAIT_S)
        small = frame(Opcode.BINARY, message(1, *[b""] * 32))
        sent, ended = 0, False
        with contextlib.suppress(TimeoutError):
            for _ in range(200_000):
                try:
                    caller.sendall(small)
                except (BrokenPipeError, ConnectionError):
                    ended = True
                    break
                sent += 1
        assert ended, f"{sent} messages were taken"
    assert peak_mib(server) - before < SLACK_MIB


def test_who_reads_no_replies_holds_up_no_stop(tmp_path: Path) -> None:
    write_tokens(tmp_path, TOKEN)
    config = tmp_path / "cloud.yaml"
    config.write_text(f"tokens: {tmp_path}/tokens.yaml\nwait_s: 60\ndrain_s: {WAIT_S}\n")
    with CloudProcess(default_folder(), "--config", str(config)) as server:
        with opened(server) as caller:
            caller.settimeout(WAIT_S)
            small = frame(Opcode.BINARY, message(1, *[b""] * 32))
            with pytest.raises(TimeoutError):
                caller.sendall(small * 100_000)
            server.signal(signal.SIGTERM)
            assert server.exit_code() == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "more",
    [
        "Sec-WebSocket-Key: short\r\n",
        "Sec-WebSocket-Version: 12\r\n",
        "X: " + "y" * 9000 + "\r\n",
        "".join(f"X-{number}: y\r\n" for number in range(200)),
    ],
    ids=["key", "version", "long", "many"],
)
def test_a_handshake_that_is_none_is_refused(server: CloudProcess, more: str) -> None:
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as caller:
        name = more.partition(":")[0]
        lines = HANDSHAKE.format(fingerprint=server.fingerprint, more=more).split("\r\n")
        kept = [one for one in lines[:-3] if not one.startswith(f"{name}:")]
        caller.sendall("\r\n".join([*kept, more, ""]).encode())
        got = end_of(caller)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


@pytest.mark.parametrize("extension", ["", "permessage-deflate; server_max_window_bits=8"])
def test_a_refused_handshake_is_no_fault_of_the_servers(
    server: CloudProcess, extension: str
) -> None:
    more = f"Sec-WebSocket-Extensions: {extension}\r\n" if extension else ""
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as caller:
        # Of no weights, and without a token.
        caller.sendall(HANDSHAKE.format(fingerprint="", more=more).encode())
        got = end_of(caller)
    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    assert "ERROR" not in server.log


def test_frames_before_the_handshake_ends_harm_nobody(server: CloudProcess) -> None:
    for early in (b"\xff" * 64, frame(Opcode.PING), b"\x82\xff" + b"\xff" * 12):
        with raw(server) as hasty:
            hasty.sendall(early)
            hasty.shutdown(socket.SHUT_WR)
            end_of(hasty)
    assert httpx.get(f"http://{server.http}/readyz", trust_env=False).status_code == 200


def test_elsewhere_the_word_websocket_is_passed_over(server: CloudProcess) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False, headers=headers) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/model").status_code == 401


def test_a_token_that_was_taken_away_is_refused_at_the_next_message(tmp_path: Path) -> None:
    write_tokens(tmp_path, TOKEN)
    config = tmp_path / "cloud.yaml"
    config.write_text(f"tokens: {tmp_path}/tokens.yaml\n")
    with (
        CloudProcess(default_folder(), "--config", str(config)) as server,
        stream(server, TOKEN) as caller,
    ):
        caller.send(message(1))
        assert replies(caller, 1)[1]["faces"] == []
        write_tokens(tmp_path, OTHER)
        server.signal(signal.SIGHUP)
        server.wait_for_line("reloaded the tokens")
        caller.send(message(2))
        error = replies(caller, 1)[2]["error"]
        assert (error["code"], error["retryable"]) == ("unauthorised", False)
        with stream(server, OTHER) as other:
            other.send(message(3))
            assert replies(other, 1)[3]["faces"] == []


def test_each_message_counts_for_the_rate(tmp_path: Path) -> None:
    config = tmp_path / "cloud.yaml"
    config.write_text("caller_limits: {requests_per_s: 0.001, burst: 2}\nlimit_by_address: true\n")
    with (
        CloudProcess(default_folder(), "--config", str(config)) as server,
        stream(server, None) as caller,
    ):
        for number in range(3):
            caller.send(message(number))
        found = replies(caller, 3)
    assert [("error" in found[number]) for number in range(3)] == [False, False, True]
    assert found[2]["error"]["code"] == "overloaded"
    assert found[2]["error"]["retryable"]
