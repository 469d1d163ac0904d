"""Under the very limit of memory that the manifests give a pod, hostile pictures and bodies do not
have the server killed. Where no cgroup can be made (which takes root on Linux) this is skipped."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.attack import messages as of
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until

HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
PICTURE = Path("cloud_server/rest_api/page/example.jpg")
MANIFESTS = Path("deploy/kubernetes")
MIB = 2**20


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Path]:
    """A cgroup with the limit of the Deployment."""
    deployment = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    limit_bytes = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
    root = Path("/sys/fs/cgroup")
    first = (root / "memory").exists()
    group = (root / "memory" if first else root) / f"splitfer-test-{os.getpid()}"
    try:
        group.mkdir()
        file = "memory.limit_in_bytes" if first else "memory.max"
        (group / file).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):  # no swap, as in a pod
            swap = "memory.memsw.limit_in_bytes" if first else "memory.swap.max"
            (group / swap).write_text(str(limit_bytes if first else 0))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no cgroup can be made here: {error.strerror}")
    yield group
    # What the server started ends a moment after it.
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup to be empty")
    group.rmdir()


def killed(pod: Path) -> int:
    """Processes of the group that had to be ended for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(FileNotFoundError):
            lines = dict(line.split() for line in (pod / name).read_text().splitlines())
            return int(lines.get("oom_kill", 0))
    return 0


def test_the_pods_limit_is_enough(pod: Path, tmp_path: Path) -> None:
    tokens = [
        token_line(name, token, [Scope.INFER, Scope.IMAGE])
        for name, token in (("honest", HONEST), ("hostile", HOSTILE))
    ]
    (tmp_path / "tokens.yaml").write_text("\n".join(tokens))
    config_map = yaml.safe_load((MANIFESTS / "config.yaml").read_text())
    settings = yaml.safe_load(config_map["data"]["cloud.yaml"])
    kept = {key: value for key, value in settings.items() if key not in ("grpc_port", "http_port")}
    kept |= {"host": "127.0.0.1", "tokens": str(tmp_path / "tokens.yaml")}
    (tmp_path / "cloud.yaml").write_text(yaml.safe_dump(kept))
    joining = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(pod))
    large, usual = of.large_picture(), PICTURE.read_bytes()
    enough = threading.Event()
    with CloudProcess(
        default_folder(), "--config", str(tmp_path / "cloud.yaml"), inside=joining
    ) as server:

        def post(token: str, picture: bytes) -> int:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
            return httpx.post(
                f"http://{server.http}/v1/faces",
                content=picture,
                headers=headers,
                timeout=PATIENCE_S,
                trust_env=False,
            ).status_code

        def attack() -> None:
            try:
                while not enough.is_set():
                    post(HOSTILE, large)
            except httpx.HTTPError:  # the server has gone
                assert enough.is_set()

        attackers = [threading.Thread(target=attack) for _ in range(8)]
        with contextlib.ExitStack() as stack:
            for attacker in attackers:
                attacker.start()
            try:
                stalled = [
                    stack.enter_context(socket.create_connection(_http(server), PATIENCE_S))
                    for _ in range(60)
                ]
                with ThreadPoolExecutor(len(stalled)) as crowd:
                    list(crowd.map(_stall, stalled))
                assert [post(HONEST, usual) for _ in range(5)] == [200] * 5
                assert killed(pod) == 0
            finally:
                enough.set()
    for attacker in attackers:  # nobody waits for what they asked last
        attacker.join()


def _http(server: CloudProcess) -> tuple[str, int]:
    host, port = server.http.split(":")
    return host, int(port)


def _stall(connection: socket.socket) -> None:
    """All of a body but its last byte, or as much as the server takes."""
    with contextlib.suppress(OSError):
        connection.sendall(_stalled_body())


def _stalled_body() -> bytes:
    size = 8 * MIB
    head = (
        f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {HOSTILE}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    )
    return head.encode() + bytes(size - 1)
