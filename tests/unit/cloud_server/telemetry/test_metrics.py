"""What Prometheus and the log's last line are told."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.request import Request
from splitfer.shared.contracts import AnswerPath


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Values by name and the labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def ended(metrics: Metrics, code: str, **about: object) -> None:
    request = Request("grpc", "splitfer.v1.SplitFer/Infer", "id-1", code=code)
    for name, value in about.items():
        setattr(request, name, value)
    metrics.request_ended(request)


def test_requests_by_how_they_ended() -> None:
    metrics = Metrics()
    for _ in range(2):
        ended(
            metrics,
            "ok",
            path=AnswerPath.CLOUD,
            version="40bb529f",
            received_bytes=600,
            sent_bytes=80,
        )
    ended(metrics, "overloaded", received_bytes=600)
    told = samples(metrics)
    method = "splitfer.v1.SplitFer/Infer"
    assert told["splitfer_requests_total", "ok", method, "cloud", "grpc", "40bb529f"] == 2
    assert told["splitfer_requests_total", "overloaded", method, "none", "grpc", "none"] == 1
    assert told["splitfer_rejected_total", "overloaded", "request"] == 1
    assert told["splitfer_received_bytes_total", method, "grpc"] == 1800
    assert told["splitfer_sent_bytes_total", method, "grpc"] == 160
    # Refusals are quick: among the times they would make an overloaded server look fast.
    assert told["splitfer_request_seconds_count", method, "cloud", "grpc"] == 2
    assert metrics.summary() == "requests 3 (2 ok, 1 overloaded); faces 0; latents 0"


def test_faces_and_latents() -> None:
    metrics = Metrics()
    metrics.faces.update({"ok": 3, "deadline": 1, "malformed_payload": 2})
    metrics.latents["40bb529f75ce7dce/high"] += 4
    told = samples(metrics)
    assert told["splitfer_faces_total", "ok"] == 3
    assert told["splitfer_faces_total", "malformed_payload"] == 2
    assert told["splitfer_rejected_total", "deadline", "face"] == 1
    assert ("splitfer_rejected_total", "malformed_payload", "face") not in told
    assert told["splitfer_latents_total", "high", "40bb529f"] == 4


def test_batches() -> None:
    metrics = Metrics()
    metrics.batch_taken("f/cloud", [], [0.2, 4, 40])
    metrics.batch_ran("f/cloud", [], 2.5)
    told = samples(metrics)
    assert told["splitfer_queue_seconds_count", "f/cloud"] == 3
    assert told["splitfer_queue_seconds_bucket", "0.005", "f/cloud"] == 2
    assert told["splitfer_inference_seconds_sum", "f/cloud"] == 0.0025
    assert told["splitfer_batch_faces_count", "f/cloud"] == 1
