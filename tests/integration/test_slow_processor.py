"""A process that gets a share of a core, by whatever means there are here."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.net import slow_processor
from benchmarks.net.slow_processor import SlowProcessor
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


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("cgroups", "factor", "most_share"),
    # Signals come late by whatever the system's scheduler takes.
    [(True, 20, 0.1), (False, 4, 0.6)],
)
def test_it_gets_its_share_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cgroups: bool,
    factor: float,
    most_share: float,
) -> None:
    if not cgroups:
        monkeypatch.setattr(slow_processor, "_CGROUPS", tmp_path / "none")
    with busy() as slow, SlowProcessor(slow.pid) as processor:
        if cgroups and processor.how == "signals":
            pytest.skip("no cgroups to write to")
        processor.slow_down(factor)
        before_s, start_s = ran_s(slow.pid), time.monotonic()
        wait_until(lambda: ran_s(slow.pid) - before_s > CPU_S, "it to run for a while")
        assert ran_s(slow.pid) - before_s <= most_share * (time.monotonic() - start_s)
        with pytest.raises(ValueError, match="nothing becomes faster"):
            processor.slow_down(0.5)
