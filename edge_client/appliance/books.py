"""The books of a run over all the settings that it had."""

from __future__ import annotations

from typing import Any

from splitfer.edge_client.ledger import Ledger
from splitfer.edge_client.sources.feed import Feed


class Books:
    """One ledger, and the frames of one feed after another: ``captured = answered + lost +
    dropped`` however often settings were read again. ``closed`` takes the books of a feed that has
    ended; of one that is ``watched`` they are as they stand now.
    """

    def __init__(self) -> None:
        self.wire_bytes = 0
        self._captured = self._dropped = 0
        self._feed: Feed | None = None
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """Its time begins with the first frame that is waited for, not with what was loaded."""
        self._ledger = self._ledger or Ledger()
        return self._ledger

    def watched(self, feed: Feed) -> None:
        """The frames of ``feed`` count from now on."""
        self._feed = feed

    def closed(self, wire_bytes: int) -> None:
        """The feed has ended; ``wire_bytes`` crossed the link meanwhile."""
        feed, self._feed = self._feed, None
        if feed is not None:
            self._captured += feed.captured
            self._dropped += feed.dropped
        self.wire_bytes += wire_bytes

    @property
    def captured(self) -> int:
        """Frames that came."""
        return self._captured + (self._feed.captured if self._feed else 0)

    @property
    def dropped(self) -> int:
        """Frames of them that nobody worked on."""
        return self._dropped + (self._feed.dropped if self._feed else 0)

    @property
    def balanced(self) -> bool:
        """Whether every captured frame and every face found is accounted for."""
        return self.ledger.balanced(self.captured, self.dropped)

    def report(self) -> dict[str, int]:
        """Frames by what became of them; those in hand are not in yet."""
        ledger = self.ledger
        return {
            "captured": self.captured,
            "dropped": self.dropped,
            "answered": ledger.frames - ledger.lost_frames,
            "lost": ledger.lost_frames,
        }

    def summary(self) -> dict[str, Any]:
        """See ``Ledger.summary``."""
        return self.ledger.summary(self.dropped, self.wire_bytes)
