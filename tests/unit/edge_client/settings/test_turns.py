"""Who asked first is next."""

from __future__ import annotations

import threading

import pytest

from splitfer.edge_client.settings.turns import Turns
from tests.processes import wait_until


def test_in_the_order_in_which_they_asked_and_one_at_a_time() -> None:
    turns, order, inside = Turns(), [], threading.Semaphore(1)

    def take(number: int) -> None:
        with turns:
            assert inside.acquire(blocking=False)
            order.append(number)
            inside.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    with turns:
        for number, thread in enumerate(threads):
            thread.start()
            wait_until(lambda number=number: len(turns._waiting) == number + 1, "it to ask")  # type: ignore[misc]
    for thread in threads:
        thread.join(20)
    assert order == list(range(8))


def test_nobody_is_passed_over_by_who_asks_again_at_once() -> None:
    turns, counts, over = Turns(), [0, 0], threading.Event()

    def greedy(place: int) -> None:
        while not over.is_set():
            with turns:
                counts[place] += 1

    threads = [threading.Thread(target=greedy, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(counts) > 50, "both to have had many turns")
    over.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_what_was_raised_in_a_turn_ends_it() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="a fault"), turns:
        raise ValueError("a fault")
    with turns:
        pass
