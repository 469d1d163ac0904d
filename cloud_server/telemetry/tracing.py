"""Traces, from the edge's call to the batch that answered its faces.

    the edge's "face call"                   its traceparent, in gRPC metadata or an HTTP header
      `- "splitfer.v1.SplitFer/Infer"        a request, from arrival to reply
           `- "queue"                        one face, until its batch begins
    "batch"                                  one run of a tail, linked to its faces' queue spans

Off unless ``otlp_endpoint`` is set; then nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.telemetry.request import OK, Request, current
from splitfer.shared.errors import ConfigError, SplitFerError
from splitfer.shared.extras import how_to_install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_NS_PER_MS = 1_000_000
_TRACES = "/v1/traces"


class NoTracing:
    """Tracing that is off, and what tracing is asked to do."""

    on = False

    def begin(self, request: Request, headers: Mapping[str, str]) -> None:
        """A request arrived; ``headers`` may hold the caller's ``traceparent``."""

    def end(self, request: Request) -> None:
        """End the span of a request, whose reply was sent."""

    def faces_queued(self, faces: Sequence[Face | SplitFerError]) -> None:
        """Note that faces of the current request begin to wait."""

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """See ``BatchObserver``."""

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """See ``BatchObserver``."""

    def close(self) -> None:
        """Send what was not sent yet."""


class Tracing(NoTracing):
    """Traces that go to ``processor``."""

    on = True

    def __init__(self, processor: SpanProcessor, version: str) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        about = {"service.name": "splitfer-cloud", "service.version": version}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("splitfer")
        self._closed = False
        self._propagator = TraceContextTextMapPropagator()
        # Weak: a face that nobody waits for any more never comes to a batch.
        self._waiting: WeakKeyDictionary[Face, Any] = WeakKeyDictionary()
        self._taken: WeakKeyDictionary[Face, Any] = WeakKeyDictionary()

    def begin(self, request: Request, headers: Mapping[str, str]) -> None:
        """See ``NoTracing``."""
        request.span = self._tracer.start_span(
            request.method,
            self._propagator.extract(headers),
            self._trace.SpanKind.SERVER,
            {"rpc.system.name": request.protocol, "splitfer.request_id": request.id},
        )
        request.trace_id = format(request.span.get_span_context().trace_id, "032x")

    def end(self, request: Request) -> None:
        """See ``NoTracing``."""
        span = request.span
        span.update_name(request.method)  # a route is known only at the end
        span.set_attributes(
            {
                "splitfer.code": request.code,
                "splitfer.path": request.path,
                "splitfer.version": request.version,
            }
        )
        if request.code != OK:
            span.set_status(self._trace.StatusCode.ERROR, request.code)
        span.end()

    def faces_queued(self, faces: Sequence[Face | SplitFerError]) -> None:
        """See ``NoTracing``."""
        if (request := current()) is not None:
            for face in faces:
                if not isinstance(face, SplitFerError):
                    self._waiting[face] = request.span

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """See ``BatchObserver``."""
        now_ns = time.time_ns()
        for face, age_ms in zip(faces, ages_ms, strict=True):
            if (asked := self._waiting.pop(face, None)) is not None:
                span = self._tracer.start_span(
                    "queue",
                    self._trace.set_span_in_context(asked),
                    start_time=now_ns - int(age_ms * _NS_PER_MS),
                )
                span.end(now_ns)
                self._taken[face] = span.get_span_context()

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """See ``BatchObserver``."""
        queued = [context for one in faces if (context := self._taken.pop(one, None)) is not None]
        links = [self._trace.Link(context) for context in queued if context.trace_flags.sampled]
        if not links:  # nobody looks at any of these
            return
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            "batch",
            self._trace.set_span_in_context(self._trace.INVALID_SPAN),
            attributes={"splitfer.model": model, "splitfer.faces": len(faces)},
            links=links,
            start_time=now_ns - int(tail_ms * _NS_PER_MS),
        )
        span.end(now_ns)

    def close(self) -> None:
        """See ``NoTracing``."""
        if not self._closed:
            self._closed = True
            self._provider.shutdown()


def open_tracing(otlp_endpoint: str | None, version: str) -> NoTracing:
    """Traces to an OTLP/HTTP receiver such as ``http://localhost:4318``; none where it is None.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if otlp_endpoint is None:
        return NoTracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(f"otlp_endpoint: traces need {how_to_install('tracing')}") from error
    url = otlp_endpoint.rstrip("/").removesuffix(_TRACES) + _TRACES
    return Tracing(BatchSpanProcessor(OTLPSpanExporter(url, timeout=5)), version)
