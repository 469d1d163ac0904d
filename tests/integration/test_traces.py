"""One trace from an edge's frame to a real server's batch, as an OTLP receiver gets it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until


class Receiver:
    """A collector: the spans that were sent to it."""

    def __init__(self) -> None:
        spans: list[Span] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.spans = spans
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name == name]

    def below(self, parent: Span) -> list[Span]:
        return [span for span in list(self.spans) if span.parent_span_id == parent.span_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def test_from_the_frame_to_the_batch(
    receiver: Receiver, tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Spans are sent every so often; five seconds by default.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    file = tmp_path / "cloud.yaml"
    file.write_text(f"otlp_endpoint: {receiver.endpoint}\nlog_format: json\nlog_level: debug\n")
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        with Recognizer(
            server.grpc, policy="cloud", deadline_ms=30_000, otlp_endpoint=receiver.endpoint
        ) as recognizer:
            (face,) = recognizer.faces(astronaut)
            assert face.path == "cloud"
        # Closed, the edge has sent its own; the server sends what ended, the request last.
        (frame,) = receiver.named("frame")
        (call,) = receiver.named("face call")
        assert call.parent_span_id == frame.span_id
        (asked,) = wait_until(lambda: receiver.below(call), "the server's span")
        wait_until(lambda: receiver.named("batch"), "the batch")
        assert asked.name.startswith("splitfer.v1.SplitFer/Infer")
        (waited,) = receiver.named("queue")
        assert waited.parent_span_id == asked.span_id
        assert {span.trace_id for span in (frame, call, asked, waited)} == {frame.trace_id}
        (batch,) = receiver.named("batch")
        assert [link.span_id for link in batch.links] == [waited.span_id]
        assert frame.start_time_unix_nano <= asked.start_time_unix_nano
        # So that a line of the log leads to its trace.
        assert frame.trace_id.hex() in server.wait_for_line(frame.trace_id.hex())

        given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        httpx.get(
            f"http://{server.http}/v1/model",
            headers={"traceparent": given},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        (model,) = wait_until(lambda: receiver.named("GET /v1/model"), "the span of a REST call")
        assert model.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
        assert model.parent_span_id.hex() == "b7ad6b7169203331"
