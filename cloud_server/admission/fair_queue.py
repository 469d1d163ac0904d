"""A queue that no caller can fill for others: callers take turns.

    owner   turn   waits, most urgent first
    a       12     [#####################]      a's next has turn 12, the one behind it 13, ...
    b       12     [#]
    c       11     [##]                          the order is c, then a and b by urgency, c, a, a

An owner that comes anew begins at the turn that was served last (start-time fair queueing, Goyal
et al., 1996): it neither waits behind what others have piled up, nor makes up for silence.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Place(NamedTuple, Generic[T]):
    """One item in the order: its owner, its turn, and whether it is the last that the owner has
    waiting."""

    owner: str
    turn: int
    last: bool
    item: T


@dataclass(slots=True, eq=False)
class _Line(Generic[T]):
    """What one owner has waiting: urgency, number and item of each, and the turn of the first."""

    turn: int
    waiting: list[tuple[float, int, T]] = field(default_factory=list)


class FairQueue(Generic[T]):
    """Items of owners; the less ``urgency``, the earlier. Equal ones: first come, first served."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}
        self._turn = 0  # the one that was served last
        self._numbers = itertools.count()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """All items, in no order."""
        return (item for line in self._lines.values() for _, _, item in line.waiting)

    def has(self, owner: str) -> bool:
        """Whether anything of this owner waits."""
        return owner in self._lines

    def add(self, owner: str, urgency: float, item: T) -> None:
        """Add an item of ``owner``."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line(self._turn)
        insort(line.waiting, (urgency, next(self._numbers), item))
        self._count += 1

    def order(self) -> Iterator[Place[T]]:
        """Items in the order in which they are served. Nothing may change meanwhile."""
        heads = [_head(owner, line, 0) for owner, line in self._lines.items()]
        heapq.heapify(heads)
        while heads:
            turn, _, _, at, owner = heads[0]
            line = self._lines[owner]
            last = at + 1 == len(line.waiting)
            if last:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, _head(owner, line, at + 1))
            yield Place(owner, turn, last, line.waiting[at][2])

    def served(self, places: Sequence[Place[T]]) -> None:
        """The first ones in that order, all of them, have been taken."""
        if not places:
            return
        self._turn = places[-1].turn
        for owner, count in Counter(place.owner for place in places).items():
            line = self._lines[owner]
            line.turn += count
            self._remove(owner, slice(count))

    def take(self, place: Place[T]) -> None:
        """This one, the first of its owner, has been taken, perhaps before some of others."""
        self._turn = max(self._turn, place.turn)
        self._lines[place.owner].turn += 1
        self._remove(place.owner, slice(1))

    def ahead(self, owner: str, urgency: float) -> int:
        """How many items would be served before a new one of ``owner``."""
        line = self._lines.get(owner)
        mine = bisect_left(line.waiting, (urgency, math.inf)) if line else 0
        turn = line.turn + mine if line else self._turn
        count = mine
        for other, its in self._lines.items():
            if other != owner:
                before = turn - its.turn
                count += min(len(its.waiting), max(0, before))
                if 0 <= before < len(its.waiting):
                    count += its.waiting[before][0] <= urgency
        return count

    def gives_way(self, owner: str) -> bool:
        """Whether another owner has so much more waiting that one of it may go for one of
        ``owner``'s."""
        return self._greediest(owner) is not None

    def give_way(self, owner: str) -> T:
        """Take out the least urgent item of who has the most."""
        greediest = self._greediest(owner)
        assert greediest is not None
        item = self._lines[greediest].waiting[-1][2]
        self._remove(greediest, slice(-1, None))
        return item

    def forget(self, gone: Callable[[T], bool]) -> bool:
        """Take out what is ``gone``; whether anything was."""
        before = self._count
        for owner, line in list(self._lines.items()):
            if any(gone(item) for _, _, item in line.waiting):
                kept = [one for one in line.waiting if not gone(one[2])]
                self._count -= len(line.waiting) - len(kept)
                line.waiting = kept
                if not kept:
                    del self._lines[owner]
        return self._count < before

    def clear(self) -> list[T]:
        """Remove all items."""
        items = list(self)
        self._lines.clear()
        self._count = 0
        return items

    def _greediest(self, owner: str) -> str | None:
        if not self._lines:
            return None
        greediest = max(self._lines, key=lambda one: len(self._lines[one].waiting))
        mine = self._lines.get(owner)
        more = len(self._lines[greediest].waiting) - (len(mine.waiting) if mine else 0)
        return greediest if more > 1 else None

    def _remove(self, owner: str, which: slice) -> None:
        line = self._lines[owner]
        before = len(line.waiting)
        del line.waiting[which]
        self._count -= before - len(line.waiting)
        if not line.waiting:
            del self._lines[owner]


def _head(owner: str, line: _Line[T], at: int) -> tuple[int, float, int, int, str]:
    urgency, number, _ = line.waiting[at]
    return line.turn + at, urgency, number, at, owner
