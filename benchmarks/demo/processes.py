"""The processes of the demo: a server that can be started again, and whatever else it starts."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.02
_ROOT = Path(__file__).resolve().parent.parent.parent


class DemoFailed(Exception):
    """The demo could not be carried out; one line says why."""


class Server:
    """The cloud server as a process, on the same ports each time it is started."""

    def __init__(self, log: Path) -> None:
        self.grpc_port, self._http_port = _free_ports(2)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait."""
        with self._log.open("ab") as log:
            self._process = spawn(
                "splitfer.cloud_server.cli",
                "serve",
                "--host",
                HOST,
                "--grpc-port",
                str(self.grpc_port),
                "--http-port",
                str(self._http_port),
                log=log,
            )

    def wait_until_ready(self) -> None:
        """Wait for ``/readyz``.

        Raises:
            DemoFailed: it ended, or is not ready after ``START_TIMEOUT_S``.
        """
        until_s = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self._process is None or self._process.poll() is not None:
                raise DemoFailed(f"the server did not start: {self._last_words()}")
            if time.monotonic() > until_s:
                raise DemoFailed(f"the server is not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help; nothing where it does not run."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def _ready(self) -> bool:
        # Not urllib: a proxy of the environment is none of loopback's business.
        connection = http.client.HTTPConnection(HOST, self._http_port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (see {self._log})"


def spawn(*arguments: str, log: BinaryIO | None = None) -> subprocess.Popen[bytes]:
    """A module of ours as a process. In a session of its own: Ctrl-C reaches the demo alone, which
    then asks each of its processes once."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=_ROOT,
        env=_environment(),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL where it has not ended after ``STOP_TIMEOUT_S``."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The environment without settings for other runs, and without a proxy for loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
    for name in ("no_proxy", "NO_PROXY"):
        kept[name] = ",".join(filter(None, (kept.get(name), HOST)))
    return kept


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
