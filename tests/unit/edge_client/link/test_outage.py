"""What of an outage is told: each cause once, and its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.link.outage import QUIET_S, Outage
from splitfer.shared.cause import Cause

DNS, REFUSED, BUSY = Cause.UNKNOWN_HOST, Cause.REFUSED, Cause.OVERLOADED


def test_a_cause_is_told_once_and_so_is_its_end() -> None:
    outage = Outage()
    assert [outage.failed(REFUSED, now_s) for now_s in (0, 1, 1000, 100_000)] == [True] + [
        False
    ] * 3
    assert outage.handshake_succeeded()
    assert not outage.handshake_succeeded()
    assert not outage.call_succeeded()


def test_each_change_is_told() -> None:
    outage = Outage()
    assert outage.failed(DNS, 0)
    assert outage.failed(REFUSED, 1)
    assert not outage.failed(DNS, 2), "just told"
    assert not outage.failed(REFUSED, 3), "the last one told"
    assert not outage.failed(DNS, 4)
    assert outage.failed(DNS, QUIET_S + 5)


def test_the_next_outage_is_told_however_soon_it_comes() -> None:
    outage = Outage()
    assert outage.failed(REFUSED, 0)
    assert outage.handshake_succeeded()
    assert outage.failed(REFUSED, 1)


def test_calls_that_fail_while_handshakes_succeed_are_over_with_a_call() -> None:
    outage = Outage()
    assert outage.failed(BUSY, 0, by_call=True)
    assert not outage.handshake_succeeded()
    assert not outage.failed(BUSY, 1, by_call=True)
    assert outage.call_succeeded()


def test_a_server_that_is_busy_by_turns_does_not_fill_the_log() -> None:
    outage = Outage()
    told = 0
    for second in range(int(2 * QUIET_S)):
        told += outage.failed(BUSY, second, by_call=True)
        told += outage.handshake_succeeded()
        told += outage.call_succeeded()
    assert told == 4, "twice the cause, twice its end"


def test_what_was_good_from_the_start_is_not_told() -> None:
    outage = Outage()
    assert not outage.handshake_succeeded()
    assert not outage.call_succeeded()


@given(st.lists(st.sampled_from([DNS, REFUSED, None]), max_size=30))
def test_an_end_is_told_after_each_outage_that_was(events: list[Cause | None]) -> None:
    outage, told = Outage(), 0
    for second, event in enumerate(events):
        if event is not None:
            told += outage.failed(event, second)
        else:
            assert outage.handshake_succeeded() == (told > 0)
            told = 0
