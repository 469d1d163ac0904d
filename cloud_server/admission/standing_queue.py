"""When a stream brings more than is read, and what to refuse then.

Messages wait in line before they are read. Once the line is as long as their deadline, each is read
just in time to come too late, and none is answered though all the time goes into them. So a line
that stays (Nichols and Jacobson, 2012) while this process is busy is cut short: what waited for
longer than a share of its deadline is refused, which takes a tenth of an answer's time, until the
line is short. A process that has time to spare is not what they wait for: the network is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

# Of a deadline. What is read meanwhile is late by it too, and by the batch it meets.
_SHARE = 0.15
# A line that was longer than this for so long stays, if the process had so little time to spare.
_STAYS_MS = 100.0
_BUSY_SHARE = 0.8


def busy_ms() -> tuple[float, float]:
    """How long this process was busy so far, as a share of the cores it may use, and how long this
    thread was."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1000 * time.process_time() / (cores or 1), 1000 * time.thread_time()


class StreamOverloadGuard:
    """The messages of one stream, in the order in which they are read. Times in ms.

    ``busy`` gives for how long each of what may be full was busy so far.
    """

    def __init__(self, busy: Callable[[], Sequence[float]] = busy_ms) -> None:
        self._busy = busy
        self._since_ms: float | None = None
        self._busy_before: Sequence[float] = ()
        self._stays = False

    def refuses(self, waited_ms: float, given_ms: float, now_ms: float) -> bool:
        """Whether to refuse a message that waited for ``waited_ms`` of the ``given_ms`` it has."""
        if waited_ms <= _SHARE * given_ms:
            self._since_ms = None
            self._stays = self._stays and waited_ms > _SHARE * given_ms / 2
            return False
        if self._since_ms is None:
            self._since_ms, self._busy_before = now_ms, self._busy()
        elif now_ms - self._since_ms >= _STAYS_MS:
            busy, passed_ms = self._busy(), now_ms - self._since_ms
            pairs = zip(busy, self._busy_before, strict=True)
            self._stays = max(after - before for after, before in pairs) >= _BUSY_SHARE * passed_ms
            self._since_ms, self._busy_before = now_ms, busy
        return self._stays
