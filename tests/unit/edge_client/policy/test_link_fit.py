"""What is learnt of a link from the replies that came."""

from __future__ import annotations

import random

import pytest

from splitfer.edge_client.policy.link_fit import LinkFit, Sample, fit


def samples(
    sizes: list[int], rtt_ms: float, bytes_per_s: float, noise_ms: float = 0.5
) -> list[Sample]:
    draw = random.Random(3)
    return [
        Sample(n, n / 15, size, rtt_ms + size / bytes_per_s * 1000 + draw.uniform(0, noise_ms))
        for n, size in enumerate(sizes)
    ]


def fitted(them: list[Sample]) -> LinkFit:
    line = fit(them)
    assert line is not None
    return line


def test_without_a_time_there_is_no_line() -> None:
    assert fit([]) is None
    assert fit([Sample(0, 0.0, 100, None, missed=True)]) is None


@pytest.mark.parametrize("bytes_per_s", [12_500, 250_000])
def test_payloads_of_many_sizes_tell_latency_from_rate(bytes_per_s: float) -> None:
    line = fitted(samples([700, 2600, 1400, 900, 2000, 1100] * 5, 20.0, bytes_per_s))
    for size in (500, 1500, 7000):
        assert line.typical_ms(size) == pytest.approx(20.3 + 1000 * size / bytes_per_s, rel=0.1)


def test_payloads_of_one_size_do_not_and_the_margin_says_so() -> None:
    line = fitted(samples([2000] * 30, 50.0, 40_000))
    assert line.typical_ms(2000) == pytest.approx(100, rel=0.02)
    assert line.margin_ms(2000) < 10
    assert line.margin_ms(8000) > 100
    assert line.hopeful_ms(8000) == pytest.approx(100, rel=0.1)


def test_one_hiccup_moves_nothing() -> None:
    calm = samples([1400, 1300, 1500] * 10, 20.0, 100_000)
    hiccup = [*calm[:-1], Sample(29, 29 / 15, 1400, 900.0)]
    before, after = fitted(calm), fitted(hiccup)
    assert after.typical_ms(1400) == pytest.approx(before.typical_ms(1400), rel=0.1)
    assert after.margin_ms(1400) < 15


@pytest.mark.parametrize(("before", "after"), [(20.0, 200.0), (200.0, 20.0)])
def test_a_step_is_believed_within_a_handful_of_replies(before: float, after: float) -> None:
    old = samples([1400, 1300, 1500] * 8, before, 1e6)
    new = [Sample(24 + n, (24 + n) / 15, 1400, after) for n in range(8)]
    assert fitted([*old, *new]).typical_ms(1400) == pytest.approx(after, rel=0.15)


def test_after_a_long_silence_one_reply_counts() -> None:
    old = samples([1400, 1300, 1500] * 8, 200.0, 1e6)
    line = fitted([*old, Sample(124, 124 / 15, 700, 20.0)])
    assert line.typical_ms(700) == pytest.approx(20, rel=0.1)
    assert line.margin_ms(700) > 3  # it is one reply only


def test_calls_without_an_answer_are_told_apart_from_slow_ones() -> None:
    them = samples([1400, 1300] * 10, 20.0, 1e6)
    lost = [one if n % 2 else Sample(n, n / 15, 1400, None, True) for n, one in enumerate(them)]
    line = fitted(lost)
    assert line.missed == pytest.approx(0.5, abs=0.1)
    assert line.typical_ms(1400) == pytest.approx(21.5, rel=0.1)
    assert fitted(them).missed == 0
