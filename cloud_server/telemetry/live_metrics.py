"""What the server holds at this moment, read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.request import short_fingerprint
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.contracts import SCHEMA_VERSION
from splitfer.shared.version import server_version


class LiveMetrics(Collector):
    """Gauges of one server: queues, work in hand, readiness, and what it serves."""

    def __init__(self, health: Health, metrics: Metrics, registry: Registry) -> None:
        self._health = health
        self._metrics = metrics
        self._registry = registry

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is read may not be whole yet when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the state; called at each scrape."""
        yield _gauge("splitfer_ready", "1 where the server takes work", int(self._health.ready))
        yield _gauge(
            "splitfer_requests_in_flight", "Requests that were let in", self._health.in_flight
        )
        yield _gauge(
            "splitfer_pictures_in_work",
            "Whole pictures that wait or are worked on",
            self._metrics.pictures_in_work,
        )
        queued = GaugeMetricFamily("splitfer_queue_faces", "Faces that wait", labels=("model",))
        oldest = GaugeMetricFamily(
            "splitfer_queue_oldest_seconds", "How long the oldest has waited", labels=("model",)
        )
        for tail in self._registry.tails:
            queued.add_metric((tail.model,), tail.waiting)
            oldest.add_metric((tail.model,), tail.oldest_ms / 1000)
        yield queued
        yield oldest
        yield self._build()
        yield self._weights()

    def _build(self) -> Metric:
        labels = {"version": server_version(), "schema": str(SCHEMA_VERSION)}
        return _info("splitfer_build_info", "The installed version", [labels])

    def _weights(self) -> Metric:
        default = self._registry.default.fingerprint
        rows = []
        for tail in self._registry.tails:
            fingerprint, _, name = tail.model.partition("/")
            rows.append(
                {
                    "version": short_fingerprint(fingerprint),
                    "fingerprint": fingerprint,
                    "tail": name,
                    "default": "yes" if fingerprint == default else "no",
                }
            )
        return _info("splitfer_weights_info", "The tails that are served", rows)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _info(name: str, what: str, rows: list[dict[str, str]]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=tuple(rows[0]) if rows else ())
    for row in rows:
        family.add_metric(tuple(row.values()), 1)
    return family
