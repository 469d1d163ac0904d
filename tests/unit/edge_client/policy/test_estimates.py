"""What each stage costs, from what frames measured."""

from __future__ import annotations

import pytest

from splitfer.edge_client.policy.estimates import Estimates, Smoothed
from splitfer.shared.contracts import AnswerPath

RATES = {"default": 1400.0, "low": 700.0}


def test_what_was_never_measured_has_its_prior() -> None:
    costs = Estimates(RATES).costs()
    assert costs.payload_bytes == RATES
    assert costs.link is None
    assert costs.server == {}


def test_faces_share_their_stages() -> None:
    estimates = Estimates(RATES)
    estimates.found(10.0, 9.0, 3)
    estimates.answered(12.0, 3)
    estimates.encoded("low", 3.0, 2400, 3)
    costs = estimates.costs()
    assert (costs.detect.typical_ms, costs.head.typical_ms, costs.tail.typical_ms) == (10, 3, 4)
    assert costs.encode["low"].typical_ms == 1
    assert costs.payload_bytes["low"] == 800


def test_a_frame_without_faces_says_nothing_of_the_head() -> None:
    estimates = Estimates(RATES)
    estimates.found(10.0, None, 0)
    assert estimates.costs().head.typical_ms == 0


def test_a_tail_that_does_not_run_is_taken_to_change_as_the_head_does() -> None:
    estimates = Estimates(RATES)
    for _ in range(20):
        estimates.found(None, 10.0, 1)
        estimates.answered(20.0, 1)
    assert estimates.costs().tail.typical_ms == pytest.approx(20)
    for _ in range(200):  # the server answers, and the device has become slower
        estimates.found(None, 15.0, 1)
    assert estimates.costs().tail.typical_ms == pytest.approx(30, rel=0.05)
    assert estimates.costs().tail.p95_ms >= estimates.costs().tail.typical_ms
    for _ in range(50):  # what it takes itself says more
        estimates.found(None, 15.0, 1)
        estimates.answered(28.0, 1)
    assert estimates.costs().tail.typical_ms == pytest.approx(28, rel=0.05)


def test_one_wild_number_moves_little_and_a_lasting_change_wins() -> None:
    times = Smoothed()
    for n in range(50):
        times.add(10.0 + n % 2)
    times.add(5000.0)
    assert times.cost.typical_ms < 12
    for _ in range(40):
        times.add(30.0)
    assert times.cost.typical_ms == pytest.approx(30, rel=0.1)


def test_a_slow_first_run_is_forgotten_with_the_second() -> None:
    times = Smoothed()
    for value in (60.0, 20.0, 22.0, 21.0):
        times.add(value)
    assert times.cost.typical_ms == pytest.approx(21, abs=1)
    assert times.cost.p95_ms < 30


def test_of_few_numbers_each_counts_alike() -> None:
    times = Smoothed()
    for value in (20.0, 24.0, 22.0, 18.0):
        times.add(value)
    assert times.cost.typical_ms == pytest.approx(21)


def test_a_timeout_says_that_it_took_longer_than_that() -> None:
    estimates = Estimates(RATES)
    estimates.next_frame()
    estimates.replied(AnswerPath.CLOUD, 1400, 20.0, 4.0, now_s=1.0)
    for n in range(8):
        estimates.next_frame()
        estimates.failed(1400, 140.0, now_s=2.0 + n / 15)
    link = estimates.costs().link
    assert link is not None
    assert link.typical_ms(1400) == pytest.approx(140, rel=0.1)
    assert link.missed > 0.8


def test_a_short_wait_in_vain_does_not_make_a_slow_link_fast() -> None:
    estimates = Estimates(RATES)
    estimates.replied(AnswerPath.CLOUD, 1400, 400.0, 4.0, now_s=1.0)
    for _ in range(8):
        estimates.next_frame()
        estimates.failed(1400, 50.0, now_s=2.0)
    link = estimates.costs().link
    assert link is not None
    assert link.typical_ms(1400) >= 390


def test_a_broken_call_says_nothing_of_time() -> None:
    estimates = Estimates(RATES)
    estimates.failed(1400, None, now_s=1.0)
    assert estimates.costs().link is None
