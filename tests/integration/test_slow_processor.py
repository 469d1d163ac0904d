"""A process that gets a share of a core, by whatever means there are here."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.net.slow_processor import (
    BusyCore,
    Quota,
    SlowProcessor,
    Turns,
    slow_processor,
)
from tests.processes import wait_until

BUSY = "print(flush=True)\nwhile True: pass"
CPU_S = 0.1


@contextmanager
def busy() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        one.stdout.readline()
        try:
            yield one
        finally:
            one.kill()


def ran_s(pid: int) -> float:
    """Seconds on a processor so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def by_busy_core(pid: int) -> SlowProcessor:
    made = slow_processor(pid, max(os.sched_getaffinity(0)))
    if made.how != BusyCore.how:
        made.close()
        pytest.skip("no second core, or no real-time work for this user")
    return made


def by_quota(pid: int) -> SlowProcessor:
    for files in (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")):
        with contextlib.suppress(OSError):
            return Quota(pid, files)
    pytest.skip("no cgroups to write to")


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("made", "factor", "most_share"),
    # Signals come late by whatever the system's scheduler takes.
    [(by_busy_core, 10, 0.2), (by_quota, 10, 0.2), (Turns, 4, 0.6)],
)
def test_it_gets_its_share_and_no_more(
    made: Callable[[int], SlowProcessor], factor: float, most_share: float
) -> None:
    with busy() as slow, made(slow.pid) as processor:
        processor.slow_down(factor)
        before_s, start_s = ran_s(slow.pid), time.monotonic()
        wait_until(lambda: ran_s(slow.pid) - before_s > CPU_S, "it to run for a while")
        assert ran_s(slow.pid) - before_s <= most_share * (time.monotonic() - start_s)
        for impossible in (0.5, 1000):
            with pytest.raises(ValueError, match="are possible"):
                processor.slow_down(impossible)


def test_there_is_always_some_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(core: int) -> BusyCore:
        raise PermissionError

    monkeypatch.setattr("benchmarks.net.slow_processor.BusyCore", refused)
    monkeypatch.setattr("benchmarks.net.slow_processor._CGROUPS", tmp_path / "none")
    with busy() as slow, slow_processor(slow.pid, 0) as processor:
        assert processor.how == Turns.how
