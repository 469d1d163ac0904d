"""What was served, counted: for Prometheus, and in one line for the log.

What one event loop counts on its way is kept in plain numbers, which cost a part of a microsecond,
and becomes Prometheus's own when somebody asks. Labels are words of this server,
never a peer's, so their number is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.telemetry.histogram import Histogram
from splitfer.cloud_server.telemetry.request import OK, Request, short_fingerprint

_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
    5, 10,
)  # fmt: skip
_BUCKETS_FACES = (1, 2, 4, 8, 16, 32, 64, 128)
# Refused or given up before the network ran.
REFUSALS = frozenset(
    {
        "deadline", "model_mismatch", "not_ready", "overloaded", "rate_limited", "too_large",
        "unauthorised", "forbidden",
    }
)  # fmt: skip


class Metrics:
    """Counts and histograms of one server. ``faces`` by outcome, ``ok`` or an error's code;
    ``latents`` that came whole by ``<fingerprint>/<rate>``. One event loop writes it; it may be
    read from any thread."""

    def __init__(self) -> None:
        self.faces: Counter[str] = Counter()
        self.latents: Counter[str] = Counter()
        self.pictures_in_work = 0
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._received_bytes: Counter[tuple[str, ...]] = Counter()
        self._sent_bytes: Counter[tuple[str, ...]] = Counter()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_Counts(self))
        self._request_s = Histogram(
            "splitfer_request_seconds",
            "From a request's arrival to its reply, of those that were answered",
            ("protocol", "method", "path"),
            _BUCKETS_S,
        )
        self._queue_s = Histogram(
            "splitfer_queue_seconds", "How long a face waited for its batch", ("model",), _BUCKETS_S
        )
        self._inference_s = Histogram(
            "splitfer_inference_seconds", "One run of a tail with one batch", ("model",), _BUCKETS_S
        )
        self._batch_faces = Histogram(
            "splitfer_batch_faces", "Faces in one batch", ("model",), _BUCKETS_FACES
        )
        self._picture_s = Histogram(
            "splitfer_picture_seconds", "One stage of one whole picture", ("stage",), _BUCKETS_S
        )

    def request_ended(self, request: Request) -> None:
        """Count a request, its time and its bytes."""
        of = (request.protocol, request.method)
        self._requests[(*of, request.path, request.code, request.version)] += 1
        self._received_bytes[of] += request.received_bytes
        self._sent_bytes[of] += request.sent_bytes
        if request.code == OK:
            self._request_s.observe((*of, request.path), request.ms / 1000)

    def picture_read(self, detect_ms: float, head_ms: float | None) -> None:
        """Count the time of each stage of one picture."""
        self._picture_s.observe(("detect",), detect_ms / 1000)
        if head_ms is not None:
            self._picture_s.observe(("head",), head_ms / 1000)

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """See ``BatchObserver``."""
        self._batch_faces.observe((model,), len(faces))
        for age_ms in ages_ms:
            self._queue_s.observe((model,), age_ms / 1000)

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """See ``BatchObserver``."""
        self._inference_s.observe((model,), tail_ms / 1000)

    def summary(self) -> str:
        """One line for the log."""

        def counted(what: Counter[str]) -> str:
            each = ", ".join(f"{n} {outcome}" for outcome, n in what.most_common())
            return f"{what.total()} ({each})" if each else "0"

        requests: Counter[str] = Counter()
        for (*_, code, _version), n in self._requests.items():
            requests[code] += n
        return (
            f"requests {counted(requests)}; faces {counted(self.faces)}; "
            f"latents {counted(self.latents)}"
        )

    def families(self) -> Iterable[Metric]:
        """All metrics as Prometheus's families."""
        for histogram in (
            self._request_s,
            self._queue_s,
            self._inference_s,
            self._batch_faces,
            self._picture_s,
        ):
            yield histogram.family()
        names = ("protocol", "method", "path", "code", "version")
        requests = self._requests.copy()
        yield _family("splitfer_requests", "Requests by how they ended", names, requests)
        refused: Counter[tuple[str, ...]] = Counter()
        for labels, n in requests.items():
            if (code := labels[3]) in REFUSALS:
                refused["request", code] += n
        faces = self.faces.copy()
        for code, n in faces.items():
            if code in REFUSALS:
                refused["face", code] += n
        yield _family(
            "splitfer_rejected",
            "Requests, and faces of requests that were let in, for which no network ran",
            ("what", "reason"),
            refused,
        )
        by_outcome: dict[tuple[str, ...], int] = {(code,): n for code, n in faces.items()}
        yield _family(
            "splitfer_faces", "Faces by outcome, ok or an error", ("outcome",), by_outcome
        )
        by_rate: dict[tuple[str, ...], int] = {}
        for name, n in self.latents.copy().items():
            fingerprint, _, rate = name.partition("/")
            by_rate[short_fingerprint(fingerprint), rate] = n
        yield _family("splitfer_latents", "Latents that came whole", ("version", "rate"), by_rate)
        ends = ("protocol", "method")
        yield _family(
            "splitfer_received_bytes",
            "Bytes of requests' messages and bodies",
            ends,
            self._received_bytes.copy(),
        )
        yield _family(
            "splitfer_sent_bytes",
            "Bytes of replies' messages and bodies",
            ends,
            self._sent_bytes.copy(),
        )


class _Counts(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Give all families; called at each scrape."""
        return self._metrics.families()


def _family(
    name: str, what: str, labels: tuple[str, ...], counts: dict[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, n in counts.items():
        family.add_metric(values, n)
    return family
