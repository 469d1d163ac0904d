"""Traces, from a frame to its calls, and on to the server's spans.

    "frame"                   one decoded picture, until each of its faces has an answer
      `- "face call"          one call to the server; its traceparent goes with it
           `- (the server)    see cloud_server/telemetry/tracing.py

Off unless ``otlp_endpoint`` is set; then nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import ConfigError
from splitfer.shared.extras import how_to_install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_TRACES = "/v1/traces"


class NoFrame:
    """A frame that nobody traces."""

    def answered(self, faces: Sequence[FaceAnswer]) -> None:
        """Note the answers of the frame."""


class NoCall:
    """A call that nobody traces. ``metadata`` goes with it to the server."""

    metadata: tuple[tuple[str, str], ...] = ()

    def end(self, failure: str | None) -> None:
        """Note that the call was answered, or why it failed. From any thread."""


class NoTracing:
    """Tracing that is off, and what tracing is asked to do."""

    @contextmanager
    def frame(self) -> Iterator[NoFrame]:
        """The span of one frame, on the thread that answers it."""
        yield NoFrame()

    def call(self, method: str) -> NoCall:
        """A call for the running thread's frame begins."""
        return NoCall()

    def close(self) -> None:
        """Send what was not sent yet."""


class Tracing(NoTracing):
    """Traces that go to ``processor``."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        self._trace = trace
        resource = Resource.create({"service.name": "splitfer-edge"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("splitfer")

    @contextmanager
    def frame(self) -> Iterator[NoFrame]:
        """See ``NoTracing``."""
        with self._tracer.start_as_current_span("frame") as span:
            yield _Frame(span)

    def call(self, method: str) -> NoCall:
        """See ``NoTracing``."""
        kind = self._trace.SpanKind.CLIENT
        span = self._tracer.start_span("face call", kind=kind, attributes={"rpc.method": method})
        return _Call(span)

    def close(self) -> None:
        """See ``NoTracing``."""
        self._provider.shutdown()


class _Frame(NoFrame):
    def __init__(self, span: Any) -> None:
        self._span = span

    def answered(self, faces: Sequence[FaceAnswer]) -> None:
        """Faces, and how many took each path."""
        self._span.set_attribute("splitfer.faces", len(faces))
        for path, n in Counter(face.path.value for face in faces).items():
            self._span.set_attribute(f"splitfer.faces.{path}", n)


class _Call(NoCall):
    def __init__(self, span: Any) -> None:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._span = span
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
        self.metadata = tuple(carrier.items())

    def end(self, failure: str | None) -> None:
        """See ``NoCall``."""
        from opentelemetry.trace import StatusCode

        if failure is not None:
            self._span.set_status(StatusCode.ERROR, failure)
        self._span.end()


def open_tracing(otlp_endpoint: str | None) -> NoTracing:
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
    return Tracing(BatchSpanProcessor(OTLPSpanExporter(url, timeout=5)))
