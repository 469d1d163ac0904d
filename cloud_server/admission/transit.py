"""How long messages were under way, measured although the two clocks do not agree.

    sender's clock   sent_ms --------.
                                      \\   offset = arrived - sent
    our clock             arrived_ms ---`

An offset is the difference of the clocks, which is the same for all, and the time under way. So a
message whose offset is larger than the least one of late was held up by as much: by the network, or
behind others in buffers, where its deadline went on.
"""

from __future__ import annotations

import math

# The least offset is forgotten after one to two of these: clocks drift apart, by 10 us a second.
_WINDOW_MS = 30_000.0


class TransitDelay:
    """The messages of one sender. Times are in ms, of clocks that never step."""

    def __init__(self) -> None:
        self._window_ends_ms = -math.inf
        self._least = self._least_before = math.inf

    def held_up_ms(self, sent_ms: float, arrived_ms: float) -> float:
        """How much longer this message took than the quickest one of late. 0 where ``sent_ms`` is
        0, or is no time."""
        offset = arrived_ms - sent_ms
        if not sent_ms or not math.isfinite(offset):
            return 0.0
        if arrived_ms >= self._window_ends_ms:
            stale = arrived_ms >= self._window_ends_ms + _WINDOW_MS
            self._least_before = math.inf if stale else self._least
            self._least = math.inf
            self._window_ends_ms = arrived_ms + _WINDOW_MS
        self._least = min(self._least, offset)
        return offset - min(self._least, self._least_before)
