"""The server as a process of its own, on free ports of loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import grpc

from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from tests.loaded import SERVER, LoadedCommand

PATIENCE_S = 60
SERVING = re.compile(
    r"serving (?P<fingerprint>\w+) \(tail (?P<tail>\w+)\) on grpc (?P<grpc>\S+), "
    r"http (?P<http>[^\s\"]+)"  # in JSON a quote follows
)


def clean_environment(**extra: str) -> dict[str, str]:
    """Ours without the settings of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
    return {**kept, **extra}


class CloudProcess:
    """A running server; leaving the context kills it where it has not ended by itself.

    Its modules are loaded already, unless ``fresh`` or with ``python``'s own flags or with
    ``inside``, which is put before the command: ``fresh`` where another process is to know it by
    its words. ``environment`` is all that it has, where given.
    ``http_port`` None leaves the port to the settings.
    """

    def __init__(
        self,
        weights: Path,
        *flags: str,
        python: tuple[str, ...] = (),
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        http_port: int | None = 0,
        fresh: bool = False,
    ) -> None:
        ports = ["--grpc-port", "0"]
        if http_port is not None:
            ports += ["--http-port", str(http_port)]
        words = ["serve", *ports, "--weights", str(weights), *flags]
        if environment is None:
            environment = clean_environment()
        reading, writing = os.pipe()
        self._process: subprocess.Popen[bytes] | LoadedCommand
        try:
            if fresh or python or inside:
                self._process = subprocess.Popen(
                    [*inside, sys.executable, *python, "-m", SERVER, *words],
                    stderr=writing,
                    env=environment,
                )
            else:
                self._process = LoadedCommand(
                    SERVER, *words, environment=environment, stderr=writing
                )
        finally:
            os.close(writing)
        self._stderr = os.fdopen(reading)
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        said = SERVING.search(self.wait_for_line(SERVING.pattern))
        assert said
        self.fingerprint = said["fingerprint"]
        self.grpc, self.http = said["grpc"], said["http"]

    def _read(self) -> None:
        for line in self._stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._lines.append("(end)")
            self._news.notify_all()

    def wait_for_line(self, pattern: str) -> str:
        """The first log line that matches."""

        def found() -> str | None:
            return next((line for line in self._lines if re.search(pattern, line)), None)

        with self._news:
            self._news.wait_for(lambda: found() or "(end)" in self._lines, PATIENCE_S)
            line = found()
        assert line, f"no line {pattern!r} in:\n{self.log}"
        return line

    @property
    def log(self) -> str:
        with self._news:
            return "".join(self._lines)

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.grpc, [("grpc.use_local_subchannel_pool", 1)])

    def stub(self) -> pb_grpc.SplitFerStub:
        return pb_grpc.SplitFerStub(self.channel())

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int:
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.exit_code()
        self._stderr.close()
