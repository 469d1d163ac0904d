"""Metrics of a run, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitfer.edge_client.sinks.run_status import Health
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import AnswerPath, FaceAnswer

_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5)


class EdgeMetrics(Collector):
    """A sink that counts, and what ``report`` says beside. Labels are words of this program, so
    their number is bounded.

    ``report`` is of ``RunStatus``, with ``books`` (``captured``, ``dropped``, ``answered``,
    ``lost``: frames).
    """

    def __init__(self, report: Callable[[], Mapping[str, Any]]) -> None:
        self._report = report
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._latency = Histogram(
            "splitfer_edge_latency_seconds",
            "From the decoded frame to the answer",
            ["path"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        for path in AnswerPath:
            self._latency.labels(path.value)
        self._sent_bytes = 0
        self.registry.register(self)

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Count one frame."""
        for face in faces:
            self._sent_bytes += face.sent_bytes
            if face.latency_ms.total is not None:
                self._latency.labels(face.path.value).observe(face.latency_ms.total / 1000)

    def close(self) -> None:
        """Nothing."""

    def page(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Read the run's report; called at each scrape."""
        report = self._report()
        health = GaugeMetricFamily("splitfer_edge_health", "1 where it is so", labels=["state"])
        for state in Health:
            health.add_metric([state.value], state.value == report["health"])
        yield health
        yield GaugeMetricFamily(
            "splitfer_edge_quiet_seconds", "Since the newest answered frame", report["quiet_s"]
        )
        frames = CounterMetricFamily("splitfer_edge_frames", "Frames by state", labels=["state"])
        for state, count in report["books"].items():
            frames.add_metric([state], count)
        yield frames
        yield CounterMetricFamily(
            "splitfer_edge_sent_bytes", "Payloads of latents and pictures", self._sent_bytes
        )
        if (settings := report.get("settings")) is not None:
            yield GaugeMetricFamily(
                "splitfer_edge_settings_refused",
                "1 where new settings could not be used",
                settings["refused"] is not None,
            )
        if (mqtt := report.get("mqtt")) is not None:
            yield GaugeMetricFamily(
                "splitfer_edge_mqtt_connected", "Whether the broker is there", mqtt["connected"]
            )
        if (outbox := report.get("outbox")) is not None:
            yield from _outbox_metrics(outbox)

    def describe(self) -> Iterator[Metric]:
        """Give nothing, so that registering does not read the report."""
        return iter(())


def _outbox_metrics(outbox: Mapping[str, Any]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("splitfer_edge_outbox_waiting", "Answers", labels=["reader"])
    gone = CounterMetricFamily("splitfer_edge_outbox_answers", "Answers", labels=["reader", "end"])
    for reader, one in outbox["readers"].items():
        waiting.add_metric([reader], one["waiting"])
        for end in ("sent", "refused", "shed"):
            gone.add_metric([reader, end], one[end])
    yield waiting
    yield gone
    yield GaugeMetricFamily("splitfer_edge_outbox_bytes", "What waits", outbox["bytes"])


def page_of(cameras: Mapping[str, EdgeMetrics]) -> bytes:
    """Several cameras' counts as one page, each with the label ``camera``; the process's once."""
    families: dict[str, Metric] = {}
    for camera, metrics in list(cameras.items()):
        for family in metrics.registry.collect():
            common = family.name.startswith("process_")
            if common and family.name in families:
                continue
            merged = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                labels = sample.labels if common else {**sample.labels, "camera": camera}
                merged.samples.append(sample._replace(labels=labels))
    registry = CollectorRegistry()
    registry.register(_Given(families.values()))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
