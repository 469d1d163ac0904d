"""A weak device played by a strong one: a process that gets a share of one core.

busy core  real-time work takes the rest of the core, every 0.5 to 2 ms; needs root and a second
           core
cgroup     the kernel's quota (v2: cpu.max, v1: cpu.cfs_quota_us); needs root. Given out tick by
           tick, so a process that waits in between gets more than its share
signals    stopped and continued by turns; needs nothing, and is the roughest
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from benchmarks.net.busy_core import MOST_SHARE

_CGROUPS = Path("/sys/fs/cgroup")
_ROOT = Path(__file__).resolve().parent.parent.parent
# The kernel's quota is no less than this at a time.
_QUOTA_US = 1000
_SIGNAL_PERIOD_S = 0.005
_FIRST = -20
MOST_FACTOR = 1 / (1 - MOST_SHARE)


class SlowProcessor(ABC):
    """Slows a process and all its threads down. A context manager; ``how`` names the means."""

    how: str

    @abstractmethod
    def slow_down(self, factor: float) -> None:
        """One part in ``factor`` of a core from now on; 1 is as fast as it goes.

        Raises:
            ValueError: it is less than 1, or more than any means can do.
        """

    @abstractmethod
    def close(self) -> None:
        """As fast as it goes again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def slow_processor(pid: int, core: int) -> SlowProcessor:
    """The best means that there is here; the process and its threads move to ``core``, and take
    precedence there over whatever else runs on the machine, where this user may say so."""
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.sched_setaffinity(thread, {core})
            os.setpriority(os.PRIO_PROCESS, thread, _FIRST)
    if len(os.sched_getaffinity(0) - {core}) > 0:
        with contextlib.suppress(OSError):
            return BusyCore(core)
    for files in (_CGROUPS / "cpu", _CGROUPS):
        with contextlib.suppress(OSError):
            return Quota(pid, files)
    return Turns(pid)


class BusyCore(SlowProcessor):
    """What else runs on ``core`` gets the time that is left.

    Raises:
        OSError: this user may not run real-time work.
    """

    how = "a busy core"

    def __init__(self, core: int) -> None:
        command = [sys.executable, "-m", "benchmarks.net.busy_core", str(core)]
        self._process = subprocess.Popen(
            command,
            cwd=_ROOT,
            text=True,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.close()
            raise PermissionError("no real-time work for this user")

    def slow_down(self, factor: float) -> None:
        """See ``SlowProcessor``."""
        _check(factor)
        assert self._process.stdin is not None
        print(1 - 1 / factor, file=self._process.stdin, flush=True)

    def close(self) -> None:
        """See ``SlowProcessor``."""
        self._process.communicate()  # closes its input, which ends it


class Quota(SlowProcessor):
    """A control group under ``files`` for the process.

    Raises:
        OSError: there are none, or this user may not make one.
    """

    def __init__(self, pid: int, files: Path) -> None:
        self._pid, self._group = pid, files / f"splitfer-{pid}"
        self._first = files.name == "cpu"
        self.how = "cpu.cfs_quota_us" if self._first else "cpu.max"
        if not self._first:
            (files / "cgroup.subtree_control").write_text("+cpu")
        self._group.mkdir()
        try:
            (self._group / "cgroup.procs").write_text(str(pid))
        except OSError:
            self._group.rmdir()
            raise

    def slow_down(self, factor: float) -> None:
        """See ``SlowProcessor``."""
        _check(factor)
        period_us = round(_QUOTA_US * factor)
        if self._first:
            (self._group / "cpu.cfs_quota_us").write_text("-1")
            (self._group / "cpu.cfs_period_us").write_text(str(period_us))
            (self._group / "cpu.cfs_quota_us").write_text("-1" if factor == 1 else str(_QUOTA_US))
        else:
            quota = "max" if factor == 1 else str(_QUOTA_US)
            (self._group / "cpu.max").write_text(f"{quota} {period_us}")

    def close(self) -> None:
        """See ``SlowProcessor``."""
        with contextlib.suppress(OSError):
            (self._group.parent / "cgroup.procs").write_text(str(self._pid))
        with contextlib.suppress(OSError):
            self._group.rmdir()


class Turns(SlowProcessor):
    """Stopped and continued by turns, by a thread."""

    how = "signals"

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._share = 1.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._take_turns, daemon=True)
        self._thread.start()

    def slow_down(self, factor: float) -> None:
        """See ``SlowProcessor``."""
        _check(factor)
        self._share = 1 / factor

    def close(self) -> None:
        """See ``SlowProcessor``."""
        self._over.set()
        self._thread.join()

    def _take_turns(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not self._over.wait(_SIGNAL_PERIOD_S * self._share):
                if self._share < 1:
                    os.kill(self._pid, signal.SIGSTOP)
                    self._over.wait(_SIGNAL_PERIOD_S * (1 - self._share))
                    os.kill(self._pid, signal.SIGCONT)


def _check(factor: float) -> None:
    if not 1 <= factor <= MOST_FACTOR:
        raise ValueError(f"a factor of {factor:g}: from 1 to {MOST_FACTOR:.1f} are possible")
