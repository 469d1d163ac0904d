"""What one direction of a link does to what it carries: rate, delay, jitter, loss.

    arrives -> queue -> transmitter (bytes_per_s) -> propagation (delay +- jitter) -> due
                 `- full: dropped        `- loss: dropped, or sent once more later

Everything here is a pure function of sizes, the clock that is handed in and the draw.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

# One TCP segment in an Ethernet frame, and the shortest time after which Linux sends it again.
SEGMENT_BYTES = 1448
RETRANSMIT_S = 0.2
LONGEST_RETRANSMIT_S = 60.0  # nobody waits longer, whatever the loss


@dataclass(frozen=True)
class Shape:
    """One direction: ``bytes_per_s`` (None: as fast as it goes), one-way ``delay_ms`` give or take
    ``jitter_ms`` (uniform), the shares of packets in ``loss`` and ``duplicates``, and what may wait
    for the transmitter. ``ordered`` keeps the order in spite of jitter, as one queue does."""

    bytes_per_s: float | None = None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0
    ordered: bool = True
    queue_bytes: int = 2**16

    def __post_init__(self) -> None:
        if self.bytes_per_s is not None and self.bytes_per_s <= 0:
            raise ValueError(f"bytes_per_s is {self.bytes_per_s}; None means no limit")
        if not 0 <= self.loss <= 1 or not 0 <= self.duplicates <= 1:
            raise ValueError("loss and duplicates are shares")
        if self.delay_ms < 0 or self.jitter_ms < 0:
            raise ValueError("delay_ms and jitter_ms are not negative")


class Line:
    """One direction in use. ``draw`` gives numbers in 0..1; times are monotonic seconds."""

    def __init__(self, shape: Shape, draw: Callable[[], float] = random.random) -> None:
        self.shape = shape
        self.draw = draw
        self._free_s = 0.0
        self._last_due_s = 0.0

    def packet(self, size_bytes: int, now_s: float) -> tuple[float, ...]:
        """The instants at which a packet arrives: none where it is lost, two where duplicated."""
        shape = self.shape
        waiting_bytes = max(0.0, self._free_s - now_s) * (shape.bytes_per_s or 0.0)
        if waiting_bytes + size_bytes > max(shape.queue_bytes, size_bytes):
            return ()
        sent_s = self.transmitted(size_bytes, now_s)
        if shape.loss and self.draw() < shape.loss:
            return ()  # after the transmitter: what is lost on the way took its time too
        copies = 2 if shape.duplicates and self.draw() < shape.duplicates else 1
        return tuple(self._arrival_s(sent_s) for _ in range(copies))

    def transmitted(self, size_bytes: int, now_s: float) -> float:
        """The instant at which the last byte has left."""
        seconds = size_bytes / self.shape.bytes_per_s if self.shape.bytes_per_s else 0.0
        self._free_s = max(self._free_s, now_s) + seconds
        return self._free_s

    def propagation_s(self) -> float:
        """Seconds on the way, drawn anew for each packet."""
        jitter_ms = self.shape.jitter_ms and self.shape.jitter_ms * (2 * self.draw() - 1)
        return max(0.0, self.shape.delay_ms + jitter_ms) / 1000

    def _arrival_s(self, sent_s: float) -> float:
        due_s = sent_s + self.propagation_s()
        if self.shape.ordered:
            due_s = self._last_due_s = max(self._last_due_s, due_s)
        return due_s


class Stream:
    """One TCP connection on a line: it shares the line's rate, and keeps an order of its own."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last_due_s = 0.0

    def segment(self, size_bytes: int, now_s: float) -> float:
        """The instant at which a piece arrives; no piece is lost, none overtakes another.

        A lost one is sent again after TCP's timeout, which doubles. The stream stands still
        meanwhile: a sender with more under way would notice earlier, so this errs on the slow side.
        """
        line = self._line
        sent_s = line.transmitted(size_bytes, now_s)
        wait_s = RETRANSMIT_S + 2 * line.shape.delay_ms / 1000
        while wait_s < LONGEST_RETRANSMIT_S and line.draw() < line.shape.loss:
            sent_s += wait_s
            wait_s *= 2
        self._last_due_s = max(self._last_due_s, sent_s + line.propagation_s())
        return self._last_due_s
