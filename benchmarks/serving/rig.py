"""What ``benchmarks.serving`` measures on: a server on one core, a generator on another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from splitfer.shared.errors import SourceError

_ROOT = Path(__file__).resolve().parent.parent.parent
_SERVING = re.compile(r"serving (\w+) \(tail \w+\) on grpc [^:]+:(\d+)")
_START_S = 240.0
_END_S = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Rig:
    """Processes on their cores. A context manager; leaving it ends what it started."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.load_core = cores[-1], cores[0]
        self._closing = contextlib.ExitStack()
        self._raw: subprocess.Popen[str] | None = None
        self._load: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def raw(self, seconds: float) -> dict[str, Any]:
        """See ``benchmarks.serving.raw``; the generator gets the payloads."""
        command = ["benchmarks.serving.raw", str(seconds)]
        self._raw = self._closing.enter_context(_process(command, self.server_core))
        result: dict[str, Any] = json.loads(_line(self._raw))
        self._load = self._closing.enter_context(
            _process(["benchmarks.serving.load"], self.load_core)
        )
        _say(self._load, result.pop("payloads"))
        return result

    def raw_again(self, order: float | str) -> float:
        """The raw rate of these seconds, in faces/s; or with ``IDLE`` the time of a face alone."""
        assert self._raw is not None
        _say(self._raw, order)
        return float(_line(self._raw))

    def offer(self, **order: Any) -> dict[str, Any]:
        """One order to the generator, and its answer."""
        assert self._load is not None
        _say(self._load, order)
        answer: dict[str, Any] = json.loads(_line(self._load))
        return answer

    @contextlib.contextmanager
    def server(self, **settings: Any) -> Iterator[ServerProcess]:
        """This project's server, with ``settings`` besides the default ones."""
        command = [
            "splitfer.cloud_server.cli",
            "serve",
            "--grpc-port",
            "0",
            "--http-port",
            "0",
        ]
        variables = {f"SPLITFER_CLOUD_{key.upper()}": str(value) for key, value in settings.items()}
        with _process(command, self.server_core, variables, stderr=True) as process:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if found := _SERVING.search(line):
                    yield ServerProcess(process.pid, int(found[2]), found[1])
                    return
            raise SourceError(f"the server did not start: {said}")

    @contextlib.contextmanager
    def peer(self, module: str, path: str) -> Iterator[int]:
        """A peer's program; gives its port once it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        with _process([module, str(port)], self.server_core, quiet=True) as process:
            end_s = time.monotonic() + _START_S
            while not _answers(f"http://127.0.0.1:{port}{path}"):
                if process.poll() is not None or time.monotonic() > end_s:
                    raise SourceError(f"{module} did not start")
                time.sleep(0.2)
            yield port


class ServerProcess:
    """A server that runs: its port, its fingerprint, and the processor time it took so far."""

    def __init__(self, pid: int, port: int, fingerprint: str) -> None:
        self._pid, self.port, self.fingerprint = pid, port, fingerprint

    @property
    def cpu_s(self) -> float:
        """User and system time."""
        return _cpu_s(self._pid)


def _cpu_s(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


@contextlib.contextmanager
def _process(
    command: list[str],
    core: int,
    variables: dict[str, str] | None = None,
    stderr: bool = False,
    quiet: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
    environment |= {"OMP_NUM_THREADS": "1", **(variables or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=_ROOT,
        env=environment,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else subprocess.PIPE if stderr else None,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Politely, and then with all that it started: peers start trees of processes."""
    family = _descendants(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGTERM)
        process.wait(_END_S)
    process.kill()
    process.wait()
    for pid, born in family.items():
        if _born(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> dict[int, str]:
    """Pid to its start time, so that a number that was given out again is not taken for it."""
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        for children in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in map(int, children.read_text().split()):
                    found[child] = _born(child)
                    todo.append(child)
    return found


def _born(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _answers(url: str) -> bool:
    """Whether something speaks HTTP there and knows the path."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=b"{}"), timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code not in (404, 503)
    except OSError:
        return False


def _say(process: subprocess.Popen[str], what: Any) -> None:
    assert process.stdin is not None
    print(json.dumps(what), file=process.stdin, flush=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SourceError(f"{process.args!r} ended with {process.wait()}")
    return line
