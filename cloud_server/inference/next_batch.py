"""Which of the items that wait go into a run together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from splitfer.cloud_server.admission.fair_queue import Place
from splitfer.cloud_server.inference.batch_time import BatchTime

T = TypeVar("T")
# By how much items of later turns may make a run longer.
_LONGER = 1.25


def next_batch(
    order: Iterator[Place[T]],
    wanted: Callable[[T], bool],
    left_s: Callable[[T], float],
    times: BatchTime,
    most: int,
) -> tuple[list[T], list[Place[T]]]:
    """The next batch, of at most ``most`` items, and all places in the order that it leaves behind:
    those that are not ``wanted`` any more are among them.

    It is so small, where it must be, that its first item is in time; ``left_s`` says what an item
    has. An owner that has no other item waiting waits for no more than this run: those of later
    turns join it only where that makes the run little longer.
    """
    batch: list[T] = []
    passed: list[Place[T]] = []
    turn, longest_s = sys.maxsize, 0.0
    for place in order:
        later = place.turn > turn
        if len(batch) >= most or (later and times.of(len(batch) + 1) > longest_s):
            break
        passed.append(place)
        if not wanted(place.item):
            continue
        if not batch:
            most = max(1, times.within(left_s(place.item), most))
        batch.append(place.item)
        if place.last:
            turn = min(turn, place.turn)
        if not later:
            longest_s = _LONGER * times.of(len(batch))
    return batch, passed
