"""Connections that say nothing, and bodies that never end, keep nobody out."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.attack.certificate import write_certificate
from benchmarks.attack.memory import MemoryWatch
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
CONNECTIONS_MAX, WAIT_S = 20, 3
PICTURE = Path("cloud_server/rest_api/page/example.jpg")
BODY_BYTES = 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    write_certificate(folder / "tls.pem", folder / "tls.key")
    lines = [
        token_line(name, token, [Scope.INFER, Scope.IMAGE])
        for name, token in (("honest", HONEST), ("hostile", HOSTILE))
    ]
    (folder / "tokens.yaml").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def over_tls(folder: Path) -> Iterator[CloudProcess]:
    file = folder / "tls.yaml"
    file.write_text(
        f"tokens: {folder}/tokens.yaml\ntls_cert: {folder}/tls.pem\ntls_key: {folder}/tls.key\n"
        f"connections_max: {CONNECTIONS_MAX}\nwait_s: {WAIT_S}\n"
    )
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        yield server


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[CloudProcess]:
    """One whose budget is as small as it may be."""
    file = folder / "plain.yaml"
    file.write_text(
        f"tokens: {folder}/tokens.yaml\nconnections_max: 200\n"
        f"limits: {{picture_pixels: 1000000, body_bytes: {BODY_BYTES}}}\n"
        f"in_flight_bytes: {24 * 2**20}\n"
    )
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        yield server


def connected(server: CloudProcess) -> socket.socket:
    host, port = server.http.split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def open_sockets(server: CloudProcess) -> int:
    links = Path(f"/proc/{server.pid}/fd").iterdir()
    found = 0
    for link in links:
        with contextlib.suppress(OSError):
            found += link.readlink().name.startswith("socket:")
    return found


def test_silent_connections_are_counted_and_timed_before_tls(
    over_tls: CloudProcess, folder: Path
) -> None:
    context = ssl.create_default_context(cafile=str(folder / "tls.pem"))
    before = open_sockets(over_tls)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(over_tls)) for _ in range(10 * CONNECTIONS_MAX)]
        for _ in range(3):
            answer = httpx.get(
                f"https://{over_tls.http}/healthz",
                verify=context,
                trust_env=False,
                timeout=PATIENCE_S,
            )
            assert answer.status_code == 200
        assert open_sockets(over_tls) - before <= CONNECTIONS_MAX + 16
        started = time.monotonic()
        for one in silent:
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
        assert time.monotonic() - started < PATIENCE_S / 2


def test_bodies_that_never_end_hold_no_more_than_their_share(plain: CloudProcess) -> None:
    head = (
        f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {HOSTILE}\r\n"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    ).encode()
    refused = 0
    with MemoryWatch(plain.pid) as memory, contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connected(plain)) for _ in range(40)]
        for one in stalled:
            with contextlib.suppress(ConnectionError):  # it was refused meanwhile
                one.sendall(head + bytes(BODY_BYTES - 1))
        answer = httpx.post(
            f"http://{plain.http}/v1/faces",
            content=PICTURE.read_bytes(),
            headers={"Authorization": f"Bearer {HONEST}", "Content-Type": "image/jpeg"},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        assert answer.status_code == 200
        for one in stalled:
            one.settimeout(0.05)
            with contextlib.suppress(TimeoutError, ConnectionError):
                refused += one.recv(12) == b"HTTP/1.1 503"
    assert refused >= 20
    assert memory.peak_mib - memory.idle_mib < 120


def test_who_takes_nothing_of_a_large_file_holds_little_and_makes_room(plain: CloudProcess) -> None:
    # Without a word of gzip: what lies packed here goes out as it was.
    ask = b"GET /page/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with MemoryWatch(plain.pid) as memory, contextlib.ExitStack() as stack:
        for _ in range(250):  # more than may be connected
            one = stack.enter_context(connected(plain))
            one.sendall(ask)
            assert one.recv(12) == b"HTTP/1.1 200"
        for _ in range(3):
            answer = httpx.get(f"http://{plain.http}/healthz", timeout=PATIENCE_S, trust_env=False)
            assert answer.status_code == 200
    assert memory.peak_mib - memory.idle_mib < 120


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux for its queues")
def test_the_system_takes_little_for_who_reads_nothing(plain: CloudProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            one = stack.enter_context(connected(plain))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(b"GET /page/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one.recv(12) == b"HTTP/1.1 200"
        until_s = time.monotonic() + PATIENCE_S
        while len(sizes := unsent_bytes(plain)) < 20 and time.monotonic() < until_s:
            pass
        assert len(sizes) >= 20
        assert max(sizes) < 2**18, sizes


def unsent_bytes(server: CloudProcess) -> list[int]:
    """Of each connection of the server's on which the caller holds something up."""
    port = f":{int(server.http.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    queues = [int(line[4].split(":")[0], 16) for line in lines if line[1].endswith(port)]
    return [size for size in queues if size]
