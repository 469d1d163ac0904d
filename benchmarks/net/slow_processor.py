"""A weak device played by a strong one: a process that gets a share of one core.

cgroups    the kernel's quota (v2: cpu.max, v1: cpu.cfs_quota_us); needs root
signals    stopped and continued by turns, where there are no cgroups to write to
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Self

_CGROUPS = Path("/sys/fs/cgroup")
# The kernel gives no less than this at a time.
_QUOTA_US = 1000
_PERIOD_S = 0.005


class SlowProcessor:
    """Slows a process and its threads down; ``how`` names the means. A context manager."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._group, self.how = self._make_group()
        self._share = 1.0
        self._over = threading.Event()
        self._stopper: threading.Thread | None = None

    def slow_down(self, factor: float) -> None:
        """It gets one part in ``factor`` of a core from now on; 1 is as fast as it goes."""
        if factor < 1:
            raise ValueError(f"a factor of {factor}: nothing becomes faster here")
        if self._group is None:
            self._share = 1 / factor
            self._start_stopper()
        elif self.how == "cpu.max":
            quota = "max" if factor == 1 else str(_QUOTA_US)
            (self._group / "cpu.max").write_text(f"{quota} {round(_QUOTA_US * factor)}")
        else:
            (self._group / "cpu.cfs_quota_us").write_text("-1")
            (self._group / "cpu.cfs_period_us").write_text(str(round(_QUOTA_US * factor)))
            if factor > 1:
                (self._group / "cpu.cfs_quota_us").write_text(str(_QUOTA_US))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._stopper is not None:
            self._stopper.join()
        if self._group is not None:
            with contextlib.suppress(OSError):
                (self._group.parent / "cgroup.procs").write_text(str(self._pid))
            with contextlib.suppress(OSError):
                self._group.rmdir()

    def _make_group(self) -> tuple[Path | None, str]:
        for root, how in ((_CGROUPS / "cpu", "cpu.cfs_quota_us"), (_CGROUPS, "cpu.max")):
            group = root / f"splitfer-{self._pid}"
            try:
                if how == "cpu.max":
                    (root / "cgroup.subtree_control").write_text("+cpu")
                group.mkdir()
                (group / "cgroup.procs").write_text(str(self._pid))
            except OSError:
                with contextlib.suppress(OSError):
                    group.rmdir()
                continue
            return group, how
        return None, "signals"

    def _start_stopper(self) -> None:
        if self._stopper is None:
            self._stopper = threading.Thread(target=self._stop_by_turns, daemon=True)
            self._stopper.start()

    def _stop_by_turns(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not self._over.wait(_PERIOD_S * self._share):
                if self._share < 1:
                    os.kill(self._pid, signal.SIGSTOP)
                    self._over.wait(_PERIOD_S * (1 - self._share))
                    os.kill(self._pid, signal.SIGCONT)
