import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.admission.transit import TransitDelay

MINUTES_MS = 60_000.0


@given(
    difference=st.floats(-1e9, 1e9),
    under_way=st.lists(st.floats(0, 1000), min_size=1, max_size=20),
)
def test_it_is_what_a_message_took_longer_than_the_quickest_so_far(
    difference: float, under_way: list[float]
) -> None:
    transit = TransitDelay()
    for number, took_ms in enumerate(under_way):
        sent_ms = 1.0 + number  # within one window
        arrived_ms = sent_ms + difference + took_ms
        expected = took_ms - min(under_way[: number + 1])
        assert transit.held_up_ms(sent_ms, arrived_ms) == pytest.approx(expected, abs=1e-5)


def test_clocks_that_drift_apart_are_followed() -> None:
    transit = TransitDelay()
    assert transit.held_up_ms(1.0, 1.0) == 0
    drift_ms = 40.0
    for second in range(300):
        sent_ms = 1.0 + 1000 * second
        held_up_ms = transit.held_up_ms(sent_ms, sent_ms + drift_ms * second / 300)
    assert held_up_ms < drift_ms / 4


def test_after_a_silence_the_next_message_is_the_quickest() -> None:
    transit = TransitDelay()
    transit.held_up_ms(1.0, 2.0)
    assert transit.held_up_ms(10 * MINUTES_MS, 10 * MINUTES_MS + 50) == 0


@pytest.mark.parametrize("sent_ms", [0.0, math.nan, math.inf, -math.inf])
def test_no_time_tells_nothing_and_does_no_harm(sent_ms: float) -> None:
    transit = TransitDelay()
    transit.held_up_ms(5.0, 6.0)
    assert transit.held_up_ms(sent_ms, 7.0) == 0
    assert transit.held_up_ms(6.0, 17.0) == 10
