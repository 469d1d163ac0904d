"""What the server holds at this moment, read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud_server.request import short
from shared.contracts import SCHEMA_VERSION

if TYPE_CHECKING:
    from cloud_server.service import Service


class LiveMetrics(Collector):
    """Gauges of one service: queues, work in hand, readiness, and what it serves."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """Nothing: the service may not be whole yet when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """At each scrape."""
        service = self._service
        yield _gauge("splitfer_ready", "1 where the server takes work", int(service.health.ready))
        yield _gauge(
            "splitfer_requests_in_flight", "Requests that were let in", service.health.in_flight
        )
        yield _gauge(
            "splitfer_pictures_in_work", "Whole pictures that wait or are worked on",
            service.metrics.pictures_in_work,
        )  # fmt: skip
        queued = GaugeMetricFamily("splitfer_queue_faces", "Faces that wait", labels=("model",))
        oldest = GaugeMetricFamily(
            "splitfer_queue_oldest_seconds", "How long the oldest has waited", labels=("model",)
        )
        for tail in service.tails:
            queued.add_metric((tail.model,), tail.waiting)
            oldest.add_metric((tail.model,), tail.oldest_ms / 1000)
        yield queued
        yield oldest
        yield self._build()
        yield self._weights()

    def _build(self) -> Metric:
        from cloud_server.service import server_version

        labels = {"version": server_version(), "schema": str(SCHEMA_VERSION)}
        return _info("splitfer_build_info", "The installed version", [labels])

    def _weights(self) -> Metric:
        default = self._service.model().fingerprint
        rows = []
        for tail in self._service.tails:
            fingerprint, _, name = tail.model.partition("/")
            rows.append(
                {
                    "version": short(fingerprint),
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
