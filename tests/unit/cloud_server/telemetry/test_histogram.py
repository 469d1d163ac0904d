from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from splitfer.cloud_server.telemetry.histogram import Histogram

BOUNDS = (0.5, 1, 2.5)


class _Only(Collector):
    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def collect(self) -> list[HistogramMetricFamily]:
        return [self._histogram.family()]


def page(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(
    st.lists(
        st.tuples(st.sampled_from(("a", "b")), st.sampled_from((0.0, 0.5, 0.75, 1.0, 2.5, 99.0)))
    )
)
def test_it_says_what_prometheus_own_says(values: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("taken_seconds", "What was taken", ("who",), BOUNDS)
    ours.register(_Only(histogram))
    reference = Reference(
        "taken_seconds", "What was taken", ("who",), buckets=BOUNDS, registry=theirs
    )
    for who, value in values:
        histogram.observe((who,), value)
        reference.labels(who).observe(value)
    assert page(ours) == page(theirs)
