"""Keeps one core busy for a share of every 0.5 to 2 ms, before anything else may run there.

What else runs on the core gets the rest, in slices so short that it seems slow rather than
interrupted. ``slow_processor`` starts this file as a process and writes the share, 0..1, to its
input, a number a line; it ends with its input.
"""

from __future__ import annotations

import os
import select
import sys
import time

# What is timed ends on the grid of the periods: it has to be finer than what shall be told apart.
# But a slice has to be longer than what the change from one process to another takes.
_SHORTEST_S, _LONGEST_S, _SLICE_S = 0.0005, 0.002, 0.000125
# The kernel lets real-time work have 95 % of a core.
MOST_SHARE = 0.945
_IDLE_S = 0.05


def main() -> int:
    """``busy_core CORE``."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("ready", flush=True)
    share, lines = 0.0, sys.stdin.fileno()
    next_s = time.monotonic()
    while True:
        if select.select([lines], [], [], 0.0 if share else _IDLE_S)[0]:
            said = os.read(lines, 100)
            if not said:
                return 0
            share = min(MOST_SHARE, float(said.split()[-1]))
        period_s = min(max(_SHORTEST_S, _SLICE_S / (1 - share)), _LONGEST_S)
        now_s = time.monotonic()
        # What was missed is not caught up with: the core would stand still.
        next_s = max(next_s + period_s, now_s)
        while share and time.monotonic() < now_s + share * period_s:
            pass
        time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
