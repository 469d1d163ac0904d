"""How much memory a server and the processes that it started hold, watched from outside (Linux)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

_EVERY_S = 0.05
MIB = 2**20


def status_mib(pid: int, name: str) -> float:
    """``VmRSS`` (resident now) or ``VmHWM`` (the most so far) of a process; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def cpu_s(pid: int) -> float:
    """Processor time of one process so far, user and system, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def tree_mib(pid: int) -> float:
    """Resident now, of a process and all below it."""
    return status_mib(pid, "VmRSS") + sum(map(tree_mib, _children(pid)))


class MemoryWatch:
    """``with MemoryWatch(pid) as watch:`` then ``watch.peak_mib``: the most that the process itself
    held since, which the kernel counts, with what those below it held when looked at."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.idle_mib = tree_mib(pid)
        self.peak_mib = self.idle_mib
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # VmHWM counts from here
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._enough.wait(_EVERY_S):
            below = sum(map(tree_mib, _children(self._pid)))
            self.peak_mib = max(self.peak_mib, status_mib(self._pid, "VmHWM") + below)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, file.read_text().split())
        except OSError:  # it has ended
            continue
    return found
