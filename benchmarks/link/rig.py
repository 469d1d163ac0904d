"""What ``benchmarks.link`` measures on: a device, a server, and a link between them.

In two network namespaces with real packets where this user may make them, else on loopback through
the TCP forwarder; ``Rig.link_kind`` says which, ``Rig.processor_kind`` how the device is slowed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.net.forwarder import Forwarder
from benchmarks.net.namespaces import ADDRESSES, Namespaces, NamespacesMissing
from benchmarks.net.shape import Shape
from benchmarks.net.slow_processor import slow_processor
from splitfer.shared.errors import SourceError

PORT, TWO_WAY_PORT = 50051, 50052
_ROOT = Path(__file__).resolve().parent.parent.parent
# The link is quiet when nothing was on its way for two looks in a row.
_LOOK_S, _LOOKS = 0.01, 2
_PAUSE_S = 0.02


class Rig:
    """Server, services and device as processes. A context manager.

    The device has the first core for itself, as far as we start what runs here.
    """

    def __init__(self, weights: Path | None) -> None:
        self._weights = ["--weights", str(weights)] if weights else []
        self._closing = contextlib.ExitStack()
        self._namespaces: Namespaces | None = None
        self._forwarders: list[Forwarder] = []
        self.link_kind = self.processor_kind = ""

    def __enter__(self) -> Self:
        try:
            with self._closing:
                self._open()
                self._closing = self._closing.pop_all()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def shape(self, shape: Shape) -> None:
        """The same both ways."""
        if self._namespaces is not None:
            self._namespaces.shape(shape, shape)
        for forwarder in self._forwarders:
            forwarder.shape(shape, shape)

    def wait_until_quiet(self) -> None:
        """Until nothing is on its way: what one strategy left must not slow the next one down."""
        if self._namespaces is None:
            time.sleep(_PAUSE_S)
            return
        quiet = 0
        while quiet < _LOOKS:
            time.sleep(_LOOK_S)
            counts = self._namespaces.counts().values()
            quiet = 0 if any(one["arrived"] or one["waiting"] for one in counts) else quiet + 1

    def slow_down(self, factor: float) -> None:
        """The device gets one part in ``factor`` of its core."""
        self._slow.slow_down(factor)

    def order(self, **order: Any) -> dict[str, Any]:
        """One order to the device, and its answer."""
        assert self._edge.stdin is not None
        assert self._edge.stdout is not None
        print(json.dumps(order), file=self._edge.stdin, flush=True)
        return self._answer(self._edge)

    def _open(self) -> None:
        before = os.sched_getaffinity(0)
        core, *others = sorted(before)
        if others:  # what is started from here on stays off the device's core, as this process does
            self._closing.callback(os.sched_setaffinity, 0, before)
            os.sched_setaffinity(0, others)
        try:
            self._namespaces = self._closing.enter_context(Namespaces())
            host, self.link_kind = ADDRESSES["cloud"], "packets between two network namespaces"
        except NamespacesMissing as error:
            host, self.link_kind = "127.0.0.1", f"TCP forwarder on loopback ({error})"
        ports = (PORT, TWO_WAY_PORT)
        self._spawn(
            "cloud",
            "splitfer.cloud_server.cli",
            "serve",
            "--host",
            host,
            "--grpc-port",
            str(PORT),
            "--http-port",
            "0",
            "--log-level",
            "error",
        )
        two_way = self._spawn("cloud", "benchmarks.link.two_way", f"{host}:{TWO_WAY_PORT}")
        self._line(two_way)
        addresses = [f"{host}:{port}" for port in ports]
        if self._namespaces is None:
            self._forwarders = [
                self._closing.enter_context(Forwarder((host, port))) for port in ports
            ]
            addresses = [forwarder.address for forwarder in self._forwarders]
        self._edge = self._spawn(
            "edge", "benchmarks.link.edge", "--server", addresses[0], "--two-way", addresses[1]
        )
        self._answer(self._edge)
        self._slow = self._closing.enter_context(slow_processor(self._edge.pid, core))
        self.processor_kind = self._slow.how

    def _spawn(self, side: str, *command: str) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
        inside = self._namespaces.command(side) if self._namespaces else []
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", *command, *self._weights],
            cwd=_ROOT,
            env=environment,
            text=True,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._closing.callback(_end, process)
        return process

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line(process))
        return answer

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SourceError(f"{process.args!r} ended with {process.wait()}")
        return line


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
