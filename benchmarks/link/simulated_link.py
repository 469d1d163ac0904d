"""A link in virtual time: bytes queue at a bottleneck whose rate and latency follow a trace."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

# What a lost packet costs TCP at least until it is sent again.
RETRANSMIT_MS = 200.0


@dataclass(frozen=True)
class LinkNow:
    """A link while it does not change. ``loss`` and ``dead`` are chances per call (0..1): of a
    packet sent again, and of a call that never gets its reply; ``jitter_ms`` is a mean."""

    bytes_per_s: float
    rtt_ms: float
    loss: float = 0.0
    jitter_ms: float = 0.0
    dead: float = 0.0


@dataclass(frozen=True)
class Trace:
    """Pieces of ``(start_s, link)`` from 0 on; the last one lasts to ``end_s``."""

    name: str
    pieces: tuple[tuple[float, LinkNow], ...]
    end_s: float

    def at(self, now_s: float) -> LinkNow:
        """The link at one instant."""
        return [link for start_s, link in self.pieces if start_s <= now_s][-1]

    def sent_s(self, start_s: float, size_bytes: float) -> float:
        """When the last of ``size_bytes`` has left, from ``start_s`` on; infinity if never."""
        changes = [at_s for at_s, _ in self.pieces if at_s > start_s]
        now_s, left = start_s, size_bytes
        for change_s in [*changes, math.inf]:
            rate = self.at(now_s).bytes_per_s
            if rate > 0 and now_s + left / rate <= change_s:
                return now_s + left / rate
            left -= rate * (change_s - now_s) if rate > 0 else 0
            now_s = change_s
        return math.inf


class SimulatedLink:
    """The way to the server and back; what was sent stays in the queue, wanted or not."""

    def __init__(self, trace: Trace, seed: int) -> None:
        self._trace, self._random = trace, random.Random(seed)
        self._free_s = 0.0

    def round_trip_s(self, now_s: float, size_bytes: float, trips: int = 1) -> float:
        """When the reply to ``size_bytes`` sent now is there, the server's time not counted."""
        link = self._trace.at(now_s)
        # Every draw is made whatever the link is, so that strategies meet the same luck.
        jitter_ms = self._random.expovariate(1.0) * link.jitter_ms
        lost, dead = self._random.random() < link.loss, self._random.random() < link.dead
        self._free_s = self._trace.sent_s(max(now_s, self._free_s), size_bytes)
        if dead:
            return math.inf
        again_ms = max(RETRANSMIT_MS, 2 * link.rtt_ms) if lost else 0.0
        return self._free_s + (trips * link.rtt_ms + jitter_ms + again_ms) / 1000


GOOD = LinkNow(500_000, 10, jitter_ms=2)
SLOW = LinkNow(12_500, 50, jitter_ms=5)
OUT = LinkNow(500_000, 10, dead=1.0)


def constant(name: str, link: LinkNow, end_s: float = 40.0) -> Trace:
    """A link that stays as it is."""
    return Trace(name, ((0.0, link),), end_s)


def step(before: LinkNow, after: LinkNow, at_s: float = 20.0) -> Trace:
    """One sudden change."""
    return Trace("step", ((0.0, before), (at_s, after)), 2 * at_s)


def ramp(start: float, end: float, rtt_ms: float = 20.0, end_s: float = 40.0) -> Trace:
    """A rate that goes from ``start`` to ``end`` bytes/s, the same factor each second."""
    seconds = int(end_s)
    rates = [start * (end / start) ** (s / (seconds - 1)) for s in range(seconds)]
    pieces = tuple((float(s), LinkNow(r, rtt_ms, jitter_ms=2)) for s, r in enumerate(rates))
    return Trace("ramp", pieces, end_s)


def flapping(every_s: float, one: LinkNow, other: LinkNow, end_s: float = 60.0) -> Trace:
    """Two links that take turns."""
    times = int(end_s / every_s)
    pieces = tuple((n * every_s, (one, other)[n % 2]) for n in range(times))
    return Trace("flapping", pieces, end_s)


def bursts(link: LinkNow, burst: LinkNow, every_s: float = 5.0, lasts_s: float = 0.5) -> Trace:
    """A link with short bad moments."""
    pieces: list[tuple[float, LinkNow]] = [(0.0, link)]
    for n in range(1, 8):
        pieces += [(n * every_s, burst), (n * every_s + lasts_s, link)]
    return Trace("bursts", tuple(pieces), 40.0)
