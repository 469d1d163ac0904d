"""What the server asks of the operating system for its process: scheduling, memory, open files.

What the platform cannot do is left undone."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# How many new objects there are before the collector looks through the youngest.
_YOUNG = 5_000
_FILES, _MOST_FILES = 1024, 1_000_000
# Of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES, _ARENAS = 2**20, 4
_FOR_GRANTED_BYTES = 4 * 2**30


def run_as_batch() -> None:
    """Call it before threads are started, which inherit it.

    Where a network runs on the same core, what arrives waits for its turn instead of breaking in:
    each such break costs the run its caches, in all a tenth of what a core can serve.
    """
    if batch := getattr(os, "SCHED_BATCH", None):  # Linux alone has it
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, batch, os.sched_param(0))


@contextlib.contextmanager
def collecting_put_off() -> Iterator[None]:
    """The garbage collector waits for ``keep_what_is_loaded``, or the end of this. It would take a
    tenth of a start to look, again and again, through what is loaded and stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def keep_what_is_loaded() -> None:
    """Call it when all that stays has been loaded: the garbage collector leaves it alone from now
    on. It would go through it for 50 ms at a time, with every face waiting."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.enable()


def give_memory_back() -> None:
    """Call it before threads are started. What was large is given back to the machine when it is
    freed: glibc would learn from it to keep the next one, in each thread's own store."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def raise_open_files() -> int:
    """Let this process open as many descriptors as it may; gives their number."""
    try:
        import resource
    except ImportError:  # not on Windows
        return _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > _MOST_FILES:
        hard = max(soft, _MOST_FILES)  # a table of all that could be is no use
    with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def memory_bytes() -> int:
    """What this process may take: its cgroup's limit, or the machine's memory where that is less.
    Linux; elsewhere 4 GiB are taken for granted."""
    found = [_FOR_GRANTED_BYTES]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _memory_limit_files():
        with contextlib.suppress(OSError, ValueError):  # "max", or not there
            found.append(int(file.read_text()))
    return min(found)


def _memory_limit_files(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> Iterator[Path]:
    """Memory limits of the process's cgroups and all above them, of cgroup versions 1 and 2."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, file = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        # In a container its own group may stand at the root, under the name that it has outside.
        for folder in (group, *group.parents):
            yield folder / file
            if folder == root:
                break


def end_within(seconds: float) -> None:
    """Call it when all is done and written: the process ends by then, with exit code 0. Threads of
    gRPC that read what hostile peers sent would be waited for, for as long as that takes."""
    end = threading.Timer(seconds, os._exit, (0,))
    end.daemon = True
    end.start()
