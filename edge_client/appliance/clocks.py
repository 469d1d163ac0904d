"""The clocks that a run goes by, so that a year of it can be played in minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from splitfer.shared.deadline import Clock


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clocks:
    """Seconds each: ``monotonic`` for intervals, ``since_boot`` for what outlives a process, both
    of which nobody sets; ``wall`` since 1970."""

    monotonic: Clock = time.monotonic
    since_boot: Clock = _since_boot
    wall: Clock = time.time
