"""Which of the items that wait go into a run together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from splitfer.cloud_server.admission.fair_queue import Place
from splitfer.cloud_server.inference.batch_time import BatchTime

T = TypeVar("T")
# By how much items of later turns may make a run longer: one that has an item in it, and one that
# may come while it goes on. Who comes during a run waits for half of it in the median, and then for
# its own: together less than twice what it takes alone, by as much as times are estimated wrong.
_LONGER, _IN_THE_WAY = 1.25, 1.3


def next_batch(
    order: Iterator[Place[T]],
    wanted: Callable[[T], bool],
    left_s: Callable[[T], float],
    times: BatchTime,
    most: int,
    light_callers: bool = False,
) -> tuple[list[T], list[Place[T]]]:
    """The next batch, of at most ``most`` items, and all places in the order that it leaves behind:
    those that are not ``wanted`` any more are among them.

    It is so small, where it must be, that its first item is in time; ``left_s`` says what an item
    has. An owner that has no other item waiting waits for no more than this run: those of later
    turns join it only where that makes the run little longer. With ``light_callers``, who ask now
    and then and have nothing waiting, second items of any owner make no run much longer than one
    item does.
    """
    batch: list[T] = []
    passed: list[Place[T]] = []
    turn, longest_s = sys.maxsize, 0.0
    first_turn = sys.maxsize
    for place in order:
        later = place.turn > turn
        second = light_callers and place.turn > first_turn
        longer_s = times.of(len(batch) + 1)
        if len(batch) >= most or (later and longer_s > longest_s):
            break
        if second and longer_s > _IN_THE_WAY * times.of(1):
            break
        passed.append(place)
        if not wanted(place.item):
            continue
        if not batch:
            most = max(1, times.within(left_s(place.item), most))
            first_turn = place.turn
        batch.append(place.item)
        if place.last:
            turn = min(turn, place.turn)
        if not later:
            longest_s = _LONGER * times.of(len(batch))
    return batch, passed
