"""A histogram by labels that one event loop fills: an observation is a search among its bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class _Series:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts, self.sum = [0] * buckets, 0.0


class Histogram:
    """Counts of values up to each of ``bounds``, which rise. Any thread may read it."""

    def __init__(
        self, name: str, what: str, labels: tuple[str, ...], bounds: Sequence[float]
    ) -> None:
        self._name, self._what, self._labels = name, what, labels
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], _Series] = {}

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count a value."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._bounds) + 1)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.sum += value

    def family(self) -> HistogramMetricFamily:
        """The histogram as a family of Prometheus."""
        family = HistogramMetricFamily(self._name, self._what, labels=self._labels)
        bounds = (*self._bounds, float("inf"))
        names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        for labels, series in self._series.copy().items():
            buckets, total = [], 0
            for name, count in zip(names, series.counts.copy(), strict=True):
                total += count
                buckets.append((name, float(total)))
            family.add_metric(labels, buckets, series.sum)
        return family
