"""Real servers and edges as processes, for the tests that break them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from tests.loaded import EDGE, SERVER, LoadedCommand

PATIENCE_S = 60.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The condition's value once it is true; fails naming ``what`` after ``patience_s``."""
    end_s = time.monotonic() + patience_s
    tick = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < end_s, f"waited {patience_s:.0f} s for {what}"
        tick.wait(0.02)
    return value


def child_processes() -> list[str]:
    """Those of this process."""
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found += (task / "children").read_text().split()
    return found


def started(
    module: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    inside: Sequence[str] = (),
    session: bool = False,
    fresh: bool = False,
) -> subprocess.Popen[bytes] | LoadedCommand:
    """A command of the product that writes to ``log``: with its modules loaded, unless it is to be
    ``fresh`` or ``inside`` is put before it."""
    if not (fresh or inside):
        return LoadedCommand(
            module,
            *words,
            environment=environment,
            stdout=log.fileno(),
            stderr=log.fileno(),
            session=session,
        )
    return subprocess.Popen(
        [*inside, sys.executable, "-m", module, *words],
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=session,
    )


class Server:
    """A cloud server that can be killed, paused and started again on the same port."""

    def __init__(
        self,
        weights: Path,
        log: Path,
        port: int | None = None,
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self.address, self._host, self._inside = f"{host}:{self.port}", host, inside
        self.weights, self._log = weights, log
        self._process: subprocess.Popen[bytes] | LoadedCommand | None = None

    def start(self) -> Self:
        before = len(self._lines())
        words = [
            "serve", "--host", self._host, "--grpc-port", str(self.port), "--http-port", "0",
            "--weights", str(self.weights),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = started(SERVER, words, os.environ, log, self._inside)
        try:
            wait_until(
                lambda: any("serving " in line for line in self._lines()[before:]) or self._ended(),
                "the server to serve",
            )
            assert not self._ended(), self._log.read_text()
        except BaseException:  # nobody else has it yet
            self.__exit__()
            raise
        return self

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As if the machine had lost its power."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def revive(self) -> None:
        """Running, whatever was done to it."""
        if self._ended():
            self.start()
        self.signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


class Edge:
    """An ``edge-client run`` over the demo clip, and what it wrote.

    ``inside`` is put before the command; ``variables`` are added to its environment. With
    ``session`` no terminal is its own, as of a service. Without a ``source`` the flags name one.
    ``fresh``: as ``started`` has it.
    """

    module = EDGE

    def __init__(
        self,
        folder: Path,
        weights: Path,
        *flags: str,
        source: str | None = "demo",
        inside: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        session: bool = False,
        fresh: bool = False,
    ) -> None:
        self.answers_file, self.summary_file = folder / "answers.jsonl", folder / "summary.json"
        self.log_file = folder / "edge.log"
        # A run adds its lines to what is there, and replaces no summary.
        self.answers_file.unlink(missing_ok=True)
        self.summary_file.unlink(missing_ok=True)
        words = [
            "run", *(["--source", source] if source is not None else []),
            "--weights", str(weights), "--output", str(self.answers_file),
            "--summary", str(self.summary_file), "--log-level", "info", *flags,
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SPLITFER_")}
        environment |= {"SPLITFER_EDGE_PURPOSE": "a test", **(variables or {})}
        # Whatever outlives the run stays in the test's folder.
        environment.setdefault("XDG_STATE_HOME", str(folder / "state"))
        with self.log_file.open("wb") as log:
            self._process = started(self.module, words, environment, log, inside, session, fresh)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """The lines written so far."""
        if not self.answers_file.exists():
            return []
        text = self.answers_file.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def answers(self) -> list[dict[str, Any]]:
        """The same, but those of what happened to faces."""
        return [line for line in self.lines() if line["record"] != "event"]

    def wait_for(self, condition: Callable[[list[dict[str, Any]]], Any], what: str) -> None:
        """Until the answers so far meet ``condition``."""
        wait_until(lambda: condition(self.answers()) or self._process.poll() is not None, what)
        assert condition(self.answers()), f"the edge ended before {what}: {self.log()}"

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(PATIENCE_S)

    def finish(self) -> tuple[int, dict[str, Any]]:
        """The exit code and the summary."""
        code = self._process.wait(PATIENCE_S)
        assert self.summary_file.exists(), self.log()
        return code, json.loads(self.summary_file.read_text())

    def log(self) -> str:
        return self.log_file.read_text()
