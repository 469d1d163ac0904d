"""Commands of the product as processes that find its modules loaded.

A test that starts a server or an edge asks for what it does, not for how Python loads it, which is
most of what a start costs the processor. So one process a side loads the modules once and forks::

    LoadedCommand --request--> python -m tests.loaded MODULE --fork--> keeper --fork--> the command

The command has the environment, the folder and the streams that are asked for, is ``__main__``, and
ends as Python ends. What differs: ``/proc/<pid>/cmdline`` and ``environ`` are not its own, and a
module that reads the environment while it is loaded has read ours.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

EDGE, SERVER = "splitfer.edge_client.cli", "splitfer.cloud_server.cli"
PIPED_EDGE = "tests.integration.piped_edge"
# What runs of each load; not the module itself, which is run as ``__main__``.
_LOADED = {
    EDGE: (
        "splitfer.edge_client.commands.run",
        "splitfer.edge_client.commands.one_camera",
        "splitfer.edge_client.commands.run_cameras",
        "splitfer.edge_client.recognizer",
        "splitfer.edge_client.sources.pace",
        "splitfer.edge_client.sources.timeline",
        "splitfer.edge_client.sources.video_decoder",
        "splitfer.shared.processor",
        "splitfer.shared.settings",
        "splitfer.shared.vision.dlib_detector",
    ),
    SERVER: (
        "splitfer.cloud_server.commands.health",
        "splitfer.cloud_server.server.event_loop",
        "splitfer.cloud_server.server.server",
        "uvicorn.protocols.http.h11_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
    ),
}
_LARGEST_REQUEST_BYTES = 1 << 17
_NUMBER = struct.Struct("i")


class LoadedCommand:
    """``python -m module arguments``, with the part of ``subprocess.Popen`` that tests use.

    ``stdout`` and ``stderr`` are descriptors, which stay the caller's; without them both are those
    of the tests. With ``session`` no terminal is its own.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        stdout: int = 1,
        stderr: int = 2,
        session: bool = False,
    ) -> None:
        self.args = (module, *arguments)
        self.returncode: int | None = None
        self._asking = threading.Lock()
        asked = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": os.getcwd(),
            "session": session,
        }
        self._told, telling = os.pipe()
        try:
            with open(os.devnull, "rb") as nothing:
                given = [nothing.fileno(), stdout, stderr, telling]
                socket.send_fds(_loader(module), [json.dumps(asked).encode()], given)
        finally:
            os.close(telling)
        self.pid = self._read()

    def _read(self) -> int:
        said = os.read(self._told, _NUMBER.size)
        if len(said) < _NUMBER.size:
            raise RuntimeError(f"{self.args[0]}: the process that forks has ended")
        number: int = _NUMBER.unpack(said)[0]
        return number

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative where a signal ended it.

        Raises:
            subprocess.TimeoutExpired: it has not ended within ``timeout`` seconds.
        """
        with self._asking:
            if self.returncode is None:
                if not select.select([self._told], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = self._read()
                os.close(self._told)
            return self.returncode

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run_loaded(
    module: str, *arguments: str, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, and what it wrote.

    Raises:
        subprocess.TimeoutExpired: it was killed after ``timeout_s``.
    """
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        command = LoadedCommand(
            module,
            *arguments,
            environment=environment,
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        )
        try:
            code = command.wait(timeout_s)
        except BaseException:
            command.kill()
            command.wait()
            raise
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess(command.args, code, stdout.read(), stderr.read())


@functools.cache
def _loader(module: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            # A process with other threads is not to be forked.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _main(module: str, descriptor: int) -> None:
    for name in _LOADED[EDGE if module == PIPED_EDGE else module]:
        importlib.import_module(name)
    gc.freeze()  # else the first collection of each child would copy all that is shared
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, _collect)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            message, given, *_ = socket.recv_fds(requests, _LARGEST_REQUEST_BYTES, 4)
            if not message:
                return
            if not os.fork():
                break
            for one in given:
                os.close(one)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *streams, telling = given
    if child := os.fork():
        for one in streams:
            os.close(one)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends with its child
        os.write(telling, _NUMBER.pack(child))
        os.write(telling, _NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        os._exit(0)
    os.close(telling)
    _become(module, streams, json.loads(message))


def _collect(*_: object) -> None:
    """Keepers that have ended; what they and their children cost is then in our own account."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(module: str, streams: list[int], asked: dict[str, Any]) -> None:
    for place, one in enumerate(streams):
        os.dup2(one, place)
        os.close(one)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    if asked["session"]:
        os.setsid()
    sys.argv[1:] = asked["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
