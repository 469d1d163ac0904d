"""Processes that decode what strangers send: how they are started, and what bounds them.

    start_child(module, ...) ==socket==> python -m module: bound_child(...), then decode

A child has bounds on its memory and its open files, writes no files, and has neither its parent's
environment nor anything open of it but the socket, which is its standard input. It ends when that
closes, also where the parent was killed.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time

# Not the rest: tokens and keys are none of a decoder's business, and proxies are not asked for.
_ENVIRONMENT = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "TZ",
)

_OOM_SCORE = 500


def start_child(module: str, *arguments: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """``python -m module arguments``, and our end of the socket that is its standard input.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_environment(),
                process_group=0,  # a terminal's Ctrl-C is for the parent, also while a child begins
            )
    except BaseException:
        ours.close()
        raise
    return process, ours


def receive(link: socket.socket, size: int, end_s: float) -> bytearray:
    """Exactly ``size`` bytes, by the monotonic instant ``end_s``.

    Raises:
        TimeoutError: not all of them came in time.
        ConnectionError: the other end is gone.
    """
    data = bytearray(size)
    receive_into(link, memoryview(data), end_s)
    return data


def receive_into(link: socket.socket, room: memoryview, end_s: float) -> None:
    """The same of as many bytes as there is ``room`` for, without a touch of them before.

    Raises:
        TimeoutError, ConnectionError: as there.
    """
    while room:
        link.settimeout(max(0.001, end_s - time.monotonic()))
        got = link.recv_into(room)
        if not got:
            raise ConnectionError("the other end is gone")
        room = room[got:]


def receive_patiently(link: socket.socket, size: int) -> bytearray:
    """The same, for a child, which waits for its parent as long as there is one.

    Raises:
        ConnectionError: the parent is gone.
    """
    data = bytearray(size)
    if size and link.recv_into(data, size, socket.MSG_WAITALL) < size:
        raise ConnectionError("the parent ended")
    return data


def leave_signals_to_parent() -> None:
    """A signal to the whole group is for the parent, which may still have to do with the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def address_space_bytes() -> int:
    """What this process has reserved now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def bound_child(memory_bytes: int, open_files: int, writes: bool = False) -> None:
    """Bound this process for good: ``memory_bytes`` beyond what it has reserved now, ``open_files``
    at once, unless it ``writes`` no file written, no core left on a disk. Where a machine has no
    memory left it goes before its parent."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(_OOM_SCORE))
    most_bytes = address_space_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    if not writes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {
        **kept,
        # What the parent imports is what its child imports.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        # Threads and arenas reserve address space, which is bounded.
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }
