"""Metrics of the server's certificates and of handshakes."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitfer.cloud_server.admission.tls import ServerTls


class TlsMetrics(Collector):
    """Read at each scrape; nothing where there is no TLS."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls

    def collect(self) -> Iterable[Metric]:
        """The days left, and the handshakes that failed."""
        days = GaugeMetricFamily(
            "splitfer_certificate_days",
            "Days until the setting's first certificate expires",
            labels=("setting",),
        )
        for setting, left in self._tls.days_left().items():
            days.add_metric((setting,), left)
        yield days
        failures = CounterMetricFamily(
            "splitfer_tls_failures", "HTTP's TLS handshakes that failed", labels=("reason",)
        )
        for reason, count in self._tls.failures.copy().items():
            failures.add_metric((reason,), count)
        yield failures
