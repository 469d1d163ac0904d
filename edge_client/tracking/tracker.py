"""Who is who from frame to frame: boxes of one frame joined to those of the frames before.

boxes of a frame -> predicted places of tracks -> pairs, the nearest first -> a number each
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from splitfer.shared.contracts import Box

# Two boxes may be of one face where their middles are nearer than this share of their side, and
# their sides differ by less than that factor.
_REACH, _SIDES = 0.75, 1.7
# A face that moves changes its speed within about so many seconds.
_SPEED_S = 0.3
# A prediction from long ago is none.
_PREDICTED_S = 0.5


@dataclass
class _Place:
    """Where a face was last, and how it moved, in pixels and pixels a second."""

    x: float
    y: float
    side: float
    seen_s: float
    speed_x: float = 0.0
    speed_y: float = 0.0

    def at(self, time_s: float) -> tuple[float, float]:
        """The middle of the face as predicted."""
        ahead_s = min(time_s - self.seen_s, _PREDICTED_S)
        return self.x + ahead_s * self.speed_x, self.y + ahead_s * self.speed_y

    def see(self, x: float, y: float, side: float, time_s: float) -> None:
        """Note where the face was found."""
        passed_s = time_s - self.seen_s
        if passed_s > 0:
            new = 1 - math.exp(-passed_s / _SPEED_S)
            self.speed_x += new * ((x - self.x) / passed_s - self.speed_x)
            self.speed_y += new * ((y - self.y) / passed_s - self.speed_y)
        self.x, self.y, self.side, self.seen_s = x, y, side, time_s


class Tracker:
    """Gives faces numbers, from 1, that stay with them; a number is never given twice. A face that
    is not found for ``lost_s`` has left. Belongs to one source.

    Overlap alone mixes up two people who cross; so each face is looked for where it was going.
    """

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self._numbers = itertools.count(1)
        self._places: dict[int, _Place] = {}

    @property
    def tracks(self) -> tuple[int, ...]:
        """The faces that are there, the oldest first."""
        return tuple(self._places)

    def follow(self, time_s: float, boxes: Sequence[Box]) -> tuple[list[int], list[int]]:
        """The number of each box of the frame at ``time_s``, and the numbers of those that have
        left. Time does not run back."""
        left = [n for n, place in self._places.items() if time_s - place.seen_s > self._lost_s]
        for number in left:
            del self._places[number]
        middles = [(box.x + box.w / 2, box.y + box.h / 2, max(box.w, box.h)) for box in boxes]
        found: list[int | None] = [None] * len(boxes)
        taken: set[int] = set()
        for _, number, index in sorted(self._pairs(time_s, middles)):
            if found[index] is None and number not in taken:
                found[index] = number
                taken.add(number)
        return [
            self._seen(number, *middle, time_s)
            for number, middle in zip(found, middles, strict=True)
        ], left

    def _seen(self, number: int | None, x: float, y: float, side: float, time_s: float) -> int:
        """The number of a box of this middle and side, a new one where it had none."""
        if number is None:
            number = next(self._numbers)
            self._places[number] = _Place(x, y, side, time_s)
        else:
            self._places[number].see(x, y, side, time_s)
        return number

    def _pairs(
        self, time_s: float, middles: Sequence[tuple[float, float, float]]
    ) -> list[tuple[float, int, int]]:
        """Distance in sides of the larger box, track and box, of all that may be one face."""
        pairs = []
        for number, place in self._places.items():
            there_x, there_y = place.at(time_s)
            for index, (x, y, side) in enumerate(middles):
                larger, smaller = max(side, place.side), max(1.0, min(side, place.side))
                distance = math.hypot(x - there_x, y - there_y) / max(1.0, larger)
                if distance < _REACH and larger / smaller < _SIDES:
                    pairs.append((distance + math.log(larger / smaller), number, index))
        return pairs
