from __future__ import annotations

import pytest

from splitfer.cloud_server.admission.standing_queue import StreamOverloadGuard, busy_ms

DEADLINE_MS = 150.0


def served(offered_per_s: float, refuse: bool, seconds: float = 4.0) -> int:
    """A reader that takes 0.15 ms a message, and 1.5 ms more where it answers: answers in time of
    the second half."""
    now_ms, sent_ms, worked_ms, in_time = 0.0, 0.0, 0.0, 0
    queue = StreamOverloadGuard(lambda: (worked_ms,))
    while sent_ms < 1000 * seconds:
        worked_ms += 0.15
        now_ms = max(now_ms, sent_ms) + 0.15
        waited_ms = now_ms - sent_ms
        late = waited_ms > DEADLINE_MS
        if not late and not (refuse and queue.refuses(waited_ms, DEADLINE_MS, now_ms)):
            # A batch holds up what is read meanwhile: its answers come with the next ones.
            now_ms, worked_ms = now_ms + 1.5, worked_ms + 1.5
            if now_ms + 20 - sent_ms <= DEADLINE_MS and sent_ms >= 500 * seconds:
                in_time += 1
        sent_ms += 1000 / offered_per_s
    return in_time


def test_ten_times_the_load_leaves_what_refusals_leave() -> None:
    offered_per_s, seconds = 5000.0, 4.0
    spare = 1 - offered_per_s * 0.15e-3
    bound = spare / 1.5e-3 * seconds / 2
    assert served(offered_per_s, refuse=False) < 0.1 * bound
    assert served(offered_per_s, refuse=True) > 0.9 * bound


def test_a_load_that_can_be_served_is_not_touched() -> None:
    assert served(500.0, refuse=True) == served(500.0, refuse=False) == 1000


def test_what_the_network_let_go_at_once_is_served() -> None:
    queue = StreamOverloadGuard(lambda: (0.0,))
    assert not any(queue.refuses(140.0 - n, DEADLINE_MS, 1000.0 + n / 4) for n in range(100))
    assert not queue.refuses(1.0, DEADLINE_MS, 1030.0)


def test_a_network_that_became_slower_is_not_the_servers_line() -> None:
    now_ms = 0.0
    idle = StreamOverloadGuard(lambda: (0.3 * now_ms, 0.79 * now_ms))
    for number in range(1000):
        now_ms = 10.0 * number
        assert not idle.refuses(60.0, DEADLINE_MS, now_ms)


@pytest.mark.parametrize(("short_ms", "refused"), [(15.0, True), (5.0, False)])
def test_a_line_that_stays_is_cut_until_it_is_short(short_ms: float, refused: bool) -> None:
    now_ms = 0.0
    queue = StreamOverloadGuard(lambda: (0.0, now_ms))

    def refuses(waited_ms: float, at_ms: float) -> bool:
        nonlocal now_ms
        now_ms = at_ms
        return queue.refuses(waited_ms, DEADLINE_MS, at_ms)

    assert not refuses(100.0, 0.0)
    assert not refuses(100.0, 99.0)
    assert refuses(100.0, 100.0)
    assert not refuses(short_ms, 101.0)
    assert refuses(100.0, 102.0) is refused


def test_time_to_spare_ends_it() -> None:
    worked_ms = 0.0
    queue = StreamOverloadGuard(lambda: (worked_ms,))
    queue.refuses(100.0, DEADLINE_MS, 0.0)
    worked_ms = 100.0
    assert queue.refuses(100.0, DEADLINE_MS, 100.0)
    worked_ms = 150.0
    assert not queue.refuses(100.0, DEADLINE_MS, 200.0)


def test_the_busy_time_of_this_process_goes_on() -> None:
    before = busy_ms()
    while busy_ms()[1] < before[1] + 5:
        pass
    assert busy_ms()[0] > before[0]
