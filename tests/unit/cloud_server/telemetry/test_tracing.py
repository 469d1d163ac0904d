"""A server's spans: who is whose parent, and what a batch links to."""

import subprocess
import sys
from collections.abc import Mapping
from contextvars import ContextVar

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from splitfer.cloud_server.telemetry.request import Request, bind, set_route
from splitfer.cloud_server.telemetry.tracing import Tracing, open_tracing
from splitfer.shared.codec.latent import Latent
from splitfer.shared.errors import MalformedPayload

TRACE, CALL = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALL}-01"}


class Traced:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), "1")

    def begin(self, headers: Mapping[str, str]) -> Request:
        request = Request("grpc", "splitfer.v1.SplitFer/Infer", "id-1")
        bind(request)
        self.tracing.begin(request, headers)
        return request

    def end(self, request: Request, code: str = "ok") -> None:
        request.code = code
        self.tracing.end(request)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [one for one in self._exporter.get_finished_spans() if one.name == name]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    # The current request is the test's own, and gone with it.
    monkeypatch.setattr(
        "splitfer.cloud_server.telemetry.request._current", ContextVar("request", default=None)
    )
    return Traced()


def latents(n: int) -> list[Latent]:
    return [Latent(np.zeros((8, 28, 28), np.uint8), 0) for _ in range(n)]


def test_a_request_belongs_to_its_callers_trace(traced: Traced) -> None:
    request = traced.begin(SAMPLED)
    set_route("cloud", "40bb529f75ce7dce")
    traced.end(request)
    (span,) = traced.spans("splitfer.v1.SplitFer/Infer")
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == CALL
    assert request.trace_id == TRACE
    assert span.attributes is not None
    assert span.attributes["splitfer.request_id"] == "id-1"
    assert span.attributes["splitfer.path"] == "cloud"
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}])
def test_a_caller_without_a_trace_gets_a_new_one(
    traced: Traced, headers: Mapping[str, str]
) -> None:
    traced.end(traced.begin(headers), "overloaded")
    (span,) = traced.spans("splitfer.v1.SplitFer/Infer")
    assert span.parent is None
    assert span.status.description == "overloaded"


def test_a_batch_links_to_the_faces_of_all_its_requests(traced: Traced) -> None:
    first, second = latents(2), latents(1)
    one = traced.begin(SAMPLED)
    traced.tracing.faces_queued([*first, MalformedPayload("damaged")])
    other = traced.begin({})
    traced.tracing.faces_queued(second)
    traced.tracing.batch_taken("f/cloud", [*first, *second], [3.0, 2.0, 1.0])
    traced.tracing.batch_ran("f/cloud", [*first, *second], 2.0)
    traced.end(one)
    traced.end(other)

    waits = traced.spans("queue")
    asked = {span.context.span_id for span in traced.spans("splitfer.v1.SplitFer/Infer")}
    assert {span.parent.span_id for span in waits if span.parent} == asked
    lengths_ms = [(span.end_time - span.start_time) / 1e6 for span in waits]
    assert lengths_ms == pytest.approx([3, 2, 1])
    (batch,) = traced.spans("batch")
    assert batch.parent is None
    assert {link.context.span_id for link in batch.links} == {s.context.span_id for s in waits}
    assert batch.attributes is not None
    assert batch.attributes["splitfer.faces"] == 3


def test_nobody_looks_so_nothing_is_told(traced: Traced) -> None:
    faces = latents(1)
    request = traced.begin({"traceparent": f"00-{TRACE}-{CALL}-00"})
    traced.tracing.faces_queued(faces)
    traced.tracing.batch_taken("f/cloud", faces, [1.0])
    traced.tracing.batch_ran("f/cloud", faces, 1.0)
    traced.end(request)
    assert not any(map(traced.spans, ("splitfer.v1.SplitFer/Infer", "queue", "batch")))


@pytest.mark.parametrize(
    ("module", "without"),
    [
        # FastAPI looks for the interface by itself.
        ("splitfer.cloud_server.server.server", ("opentelemetry.sdk", "opentelemetry.exporter")),
        ("splitfer.edge_client.recognizer", ("opentelemetry",)),
    ],
)
def test_off_it_imports_nothing(module: str, without: tuple[str, ...]) -> None:
    assert not open_tracing(None, "1").on
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not [name for name in done.stdout.split() if name.startswith(without)]
