"""What a real server tells of itself: /metrics, ids in replies and in the log."""

import json
import re
from collections.abc import Iterator

import grpc
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded, grey

SYMBOLS = np.random.default_rng(1).integers(113, 144, (8, 28, 28), dtype=np.uint8)
PAYLOAD = PayloadCodec(None, 1).encode(Latent(SYMBOLS, 0))
INFER = "splitfer.v1.SplitFer/Infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("metrics") / "cloud.yaml"
    file.write_text("log_format: json\nlog_level: debug\n")
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        yield server


@pytest.fixture
def http(server: CloudProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False, timeout=60) as client:
        yield client


def value(http: httpx.Client, name: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def infer(server: CloudProcess, *ids: str, payloads: int = 3) -> tuple[int, int, str]:
    """Bytes up, bytes down, and the id in the reply."""
    request = pb.InferRequest(fingerprint=server.fingerprint, payloads=[PAYLOAD] * payloads)
    metadata = [("x-request-id", one) for one in ids]
    with server.channel() as channel:
        call = channel.unary_unary(
            f"/{INFER}", pb.InferRequest.SerializeToString, pb.InferResponse.FromString
        )
        reply, done = call.with_call(request, timeout=PATIENCE_S, metadata=metadata)
    trailing = dict(done.trailing_metadata())
    return request.ByteSize(), reply.ByteSize(), trailing["x-request-id"]


def test_a_grpc_call_is_counted(server: CloudProcess, http: httpx.Client) -> None:
    up, down, _ = infer(server)
    ok = {
        "protocol": "grpc",
        "method": INFER,
        "path": "cloud",
        "code": "ok",
        "version": server.fingerprint[:8],
    }
    assert value(http, "splitfer_requests_total", **ok) == 1
    assert value(http, "splitfer_received_bytes_total", method=INFER) == up
    assert value(http, "splitfer_sent_bytes_total", method=INFER) == down
    assert value(http, "splitfer_request_seconds_count", method=INFER) == 1
    model = f"{server.fingerprint}/cloud"
    assert value(http, "splitfer_queue_seconds_count", model=model) == 3
    assert value(http, "splitfer_batch_faces_sum", model=model) == 3
    assert value(http, "splitfer_inference_seconds_count", model=model) >= 1
    assert value(http, "splitfer_faces_total", outcome="ok") == 3
    assert value(http, "splitfer_latents_total", version=server.fingerprint[:8]) == 3


def test_a_picture_is_counted(http: httpx.Client, astronaut: np.ndarray) -> None:
    picture = encoded(astronaut, "WEBP", lossless=True)
    assert http.post("/v1/faces", content=picture).json()["faces"]
    method = "POST /v1/faces"
    assert value(http, "splitfer_requests_total", method=method, path="image", code="ok") == 1
    assert value(http, "splitfer_received_bytes_total", method=method) == len(picture)
    assert value(http, "splitfer_picture_seconds_count", stage="detect") == 1
    assert value(http, "splitfer_picture_seconds_count", stage="head") == 1
    assert value(http, "splitfer_pictures_in_work") == 0
    http.post("/v1/faces", content=b"GIF89a")
    assert value(http, "splitfer_requests_total", method=method, code="unsupported_picture") == 1


def test_what_is_held_and_served(server: CloudProcess, http: httpx.Client) -> None:
    assert value(http, "splitfer_ready") == 1
    assert value(http, "splitfer_build_info") == 1
    weights = {"fingerprint": server.fingerprint, "tail": "cloud", "default": "yes"}
    assert value(http, "splitfer_weights_info", **weights) == 1
    assert value(http, "splitfer_queue_faces") == value(http, "splitfer_requests_in_flight") == 0
    assert value(http, "process_resident_memory_bytes") > 1e6


def test_a_strangers_words_are_no_labels(server: CloudProcess, http: httpx.Client) -> None:
    word = "qzxqzx"
    http.get(f"/{word}", headers={"X-Request-ID": word})
    http.request(word.upper(), "/v1/model")
    http.get("/v1/model", headers={"host": word, "user-agent": word})
    with server.channel() as channel:
        for method, request in (
            (f"/{word}/Infer", b""),
            (f"/splitfer.v1.SplitFer/{word}", b""),
            (f"/{INFER}", pb.InferRequest(fingerprint=word, tail=word).SerializeToString()),
        ):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(method)(request, timeout=PATIENCE_S)
    # A call is counted once its answer is given on.
    mismatch = {"code": "model_mismatch", "version": "none"}
    wait_until(
        lambda: value(http, "splitfer_requests_total", **mismatch) == 1, "the last call to count"
    )
    page = http.get("/metrics").text
    assert word not in page.lower()
    assert value(http, "splitfer_requests_total", method="other", code="not_found") == 1


def test_a_message_that_cannot_be_read_is_refused_as_such(server: CloudProcess) -> None:
    with server.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(f"/{INFER}")(b"\xff\xff\xff", timeout=PATIENCE_S)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ("splitfer-code", "malformed_payload") in raised.value.trailing_metadata()


def test_ids_come_back(server: CloudProcess, http: httpx.Client) -> None:
    assert http.get("/v1/model", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == (
        "mine-1"
    )
    made = [http.get("/v1/model", headers={"X-Request-ID": "a b"}) for _ in range(2)]
    ids = {reply.headers["x-request-id"] for reply in made}
    assert len(ids) == 2
    assert "a b" not in ids
    assert infer(server, "mine-2")[2] == "mine-2"
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", infer(server, "no good")[2])


def test_refusals_name_the_id_too_and_their_bodies_are_as_ever(
    server: CloudProcess, http: httpx.Client
) -> None:
    refused = http.post("/v1/faces", content=b"", headers={"X-Request-ID": "mine-3"})
    assert refused.headers["x-request-id"] == "mine-3"
    assert refused.json().keys() == {"error"}
    assert refused.json()["error"].keys() == {"code", "message", "retryable"}
    with server.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(f"/{INFER}")(
            pb.InferRequest(fingerprint="0").SerializeToString(),
            timeout=PATIENCE_S,
            metadata=[("x-request-id", "mine-4")],
        )
    assert ("x-request-id", "mine-4") in raised.value.trailing_metadata()


def test_log_lines_are_json_and_name_their_request(
    server: CloudProcess, http: httpx.Client
) -> None:
    http.post("/v1/faces", content=encoded(grey(100)), headers={"X-Request-ID": "mine-5"})
    told = json.loads(server.wait_for_line('"mine-5"'))
    assert told["request_id"] == "mine-5"
    assert told["message"].startswith("http POST /v1/faces ok in ")
    lines = [json.loads(one) for one in server.log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in lines)
