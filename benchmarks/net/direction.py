"""One direction of a forwarder: what it does wrong now, for all connections together."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from benchmarks.net.shape import SEGMENT_BYTES, Line, Shape


@dataclass(frozen=True)
class Fault:
    """What one direction does wrong. ``blackhole``: nothing passes, and nobody is told.
    ``flip_every_bytes``: one bit is flipped in so many bytes, on average. ``slice_bytes``: passed
    on in pieces of this size."""

    shape: Shape = field(default_factory=Shape)
    blackhole: bool = False
    flip_every_bytes: float | None = None
    slice_bytes: int = SEGMENT_BYTES


SOUND = Fault()


class Direction:
    """One direction of all connections: they share its rate. Belongs to one event loop."""

    def __init__(self, line: Line) -> None:
        self.line, self.fault = line, SOUND
        self.passing = asyncio.Event()
        self.passing.set()
        self.carried_bytes = 0
        self._until_flip = 0.0

    def change(self, fault: Fault) -> None:
        """From now on; what waits already keeps its time."""
        self.fault = fault
        self.line.shape = fault.shape
        if fault.blackhole:
            self.passing.clear()
        else:
            self.passing.set()
        self._until_flip = self._gap()

    def damaged(self, data: bytes) -> bytes:
        """``data``, with the bits flipped whose turn it is."""
        if self.fault.flip_every_bytes is None:
            return data
        bits = bytearray(data)
        place = self._until_flip
        while place < len(bits):
            bits[int(place)] ^= 1 << random.randrange(8)
            place += self._gap()
        self._until_flip = place - len(bits)
        return bytes(bits)

    def _gap(self) -> float:
        every = self.fault.flip_every_bytes
        return random.expovariate(1 / every) if every else 0.0
