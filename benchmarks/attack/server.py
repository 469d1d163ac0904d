"""The server that is attacked: a process of its own with two tokens, on free ports of loopback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.attack.certificate import write_certificate
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.errors import SourceError

DRAIN_S = 2
HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
_SERVING = re.compile(r"serving (\w+) \(tail \w+\) on grpc (\S+), http (\S+)")
_SETTINGS = f"drain_s: {DRAIN_S}\nreflection: true\n"
# A stop that takes longer is called so long.
MOST_STOP_S = 60.0


@dataclass(frozen=True)
class Target:
    """Where a server listens, the weights that it serves by default, and the certificate that it
    shows, a file; "" where it speaks without TLS."""

    grpc: str
    http: str
    fingerprint: str
    ca: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)


class AttackedServer:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str], target: Target) -> None:
        self._process, self.target = process, target
        self.pid = process.pid

    def stop_s(self) -> float:
        """How long it takes to end after SIGTERM, at most ``MOST_STOP_S``."""
        start_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(MOST_STOP_S)
        return time.monotonic() - start_s

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


@contextlib.contextmanager
def attacked_server(
    tls: bool = False, settings: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[AttackedServer]:
    """One with the tokens ``HONEST`` and ``HOSTILE``, for latents and pictures; ``settings`` are
    further lines of its file. Leaving the context ends it.

    Raises:
        SourceError: it does not start.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scopes = [Scope.INFER, Scope.IMAGE]
        lines = (token_line("honest", HONEST, scopes), token_line("hostile", HOSTILE, scopes))
        (folder / "tokens.yaml").write_text("\n".join(lines))
        settings = f"tokens: {folder}/tokens.yaml\n{_SETTINGS}{settings}"
        if tls:
            write_certificate(folder / "tls.pem", folder / "tls.key")
            settings += f"tls_cert: {folder}/tls.pem\ntls_key: {folder}/tls.key\n"
        (folder / "cloud.yaml").write_text(settings)
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
        process = subprocess.Popen(
            [
                sys.executable, "-m", "splitfer.cloud_server.cli", "serve", "--grpc-port", "0",
                "--http-port", "0", "--config", str(folder / "cloud.yaml"),
            ],
            stderr=subprocess.PIPE, text=True, env={**kept, **(environment or {})},
        )  # fmt: skip
        try:
            yield AttackedServer(process, _target(process, str(folder / "tls.pem") if tls else ""))
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            with contextlib.suppress(ValueError):  # its reader may be at it
                process.stderr.close()


def _target(process: subprocess.Popen[str], ca: str) -> Target:
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := _SERVING.search(line):
            # Else it would wait for its own log to be read.
            threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
            return Target(found[2], found[3], found[1], ca)
    raise SourceError(f"the server did not start: {said}")


def _drain(lines: Any) -> None:
    with contextlib.suppress(ValueError):
        for _ in lines:
            pass
