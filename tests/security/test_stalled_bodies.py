"""Bodies that stall keep no picture of another caller waiting: neither for memory nor for a worker
that waits for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.attack import messages as of
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.weights import default_folder
from splitfer.shared.wire import DEADLINE_HEADER
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until

HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
PICTURE = Path("cloud_server/rest_api/page/example.jpg")
BODY_BYTES, SIDE_PX, ATTACKERS = 2**20, 2000, 6
# Less than what a hostile picture may wait for, and a body may take.
DEADLINE_MS = 15_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CloudProcess]:
    lines = [
        token_line(name, token, [Scope.IMAGE, Scope.METRICS])
        for name, token in (("honest", HONEST), ("hostile", HOSTILE))
    ]
    (tmp_path / "tokens.yaml").write_text("\n".join(lines))
    (tmp_path / "cloud.yaml").write_text(
        f"tokens: {tmp_path}/tokens.yaml\nreceive_s: {PATIENCE_S}\ndeadline_ms: 60000\n"
        f"limits: {{picture_pixels: {SIDE_PX**2}, body_bytes: {BODY_BYTES}}}\n"
        f"in_flight_bytes: {80 * 2**20}\n"
    )
    with CloudProcess(default_folder(), "--config", str(tmp_path / "cloud.yaml")) as server:
        yield server


def test_pictures_beside_stalled_bodies(server: CloudProcess) -> None:
    usual, largest = PICTURE.read_bytes(), of.large_picture(SIDE_PX)
    stalled = (
        f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {HOSTILE}\r\n"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    ).encode() + bytes(BODY_BYTES - 1)
    enough = threading.Event()
    host, port = server.http.split(":")

    def post(token: str, picture: bytes, deadline_ms: int) -> int:
        return httpx.post(
            f"http://{server.http}/v1/faces",
            content=picture,
            headers={"Authorization": f"Bearer {token}", DEADLINE_HEADER: str(deadline_ms)},
            timeout=PATIENCE_S,
            trust_env=False,
        ).status_code

    def attack() -> None:
        with contextlib.suppress(httpx.HTTPError):  # the server has gone
            while not enough.is_set():
                post(HOSTILE, largest, 60_000)

    def are_there() -> bool:
        """Whether the hostile pictures are worked on, as many at once as there are workers."""
        bearer = {"Authorization": f"Bearer {HONEST}"}
        page = httpx.get(f"http://{server.http}/metrics", headers=bearer, trust_env=False).text
        return f"\nsplitfer_pictures_in_work {ATTACKERS}.0\n" in page

    attackers = [threading.Thread(target=attack) for _ in range(ATTACKERS)]
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            one = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            with contextlib.suppress(ConnectionError):  # it was refused meanwhile
                one.sendall(stalled)
        for attacker in attackers:
            attacker.start()
        try:
            wait_until(are_there, "the hostile pictures")
            asked = [usual, usual, largest, usual]
            assert [post(HONEST, one, DEADLINE_MS) for one in asked] == [200] * 4
        finally:
            enough.set()
    for attacker in attackers:
        attacker.join()
