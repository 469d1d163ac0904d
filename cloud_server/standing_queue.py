"""When a stream brings more than is read, and what to refuse then.

Messages wait in line before they are read. Once the line is as long as their deadline, each is read
just in time to come too late, and none is answered though all the time goes into them. So a line
that stays (Nichols and Jacobson, 2012) is cut short: what waited for longer than a share of its
deadline is refused, which takes a tenth of an answer's time, until the line is short. A line that
the network let go at once is not one that stays.
"""

from __future__ import annotations

# Of a deadline. What is read meanwhile is late by it too, and by the batch it meets.
_SHARE = 0.15
# A line that was longer than this for so long stays.
_STAYS_MS = 100.0


class StandingQueue:
    """The messages of one stream, in the order in which they are read. Times in ms."""

    def __init__(self) -> None:
        self._long_since_ms: float | None = None
        self._stays = False

    def refuses(self, waited_ms: float, given_ms: float, now_ms: float) -> bool:
        """Whether to refuse a message that waited for ``waited_ms`` of the ``given_ms`` it has."""
        long = waited_ms > _SHARE * given_ms
        if not long:
            self._long_since_ms = None
            self._stays = self._stays and waited_ms > _SHARE * given_ms / 2
            return False
        if self._long_since_ms is None:
            self._long_since_ms = now_ms
        self._stays = self._stays or now_ms - self._long_since_ms >= _STAYS_MS
        return self._stays
