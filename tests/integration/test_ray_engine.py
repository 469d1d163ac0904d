"""The protocol tests once more, against the Ray engine: same answers, same errors.

Left out are those of what Ray's proxy does in our place: reading a body before it is asked for,
its log's traceback of a caller that hangs up, and reflection's list of its own services.
"""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2

from tests.integration import cloud_process
from tests.integration.cloud_process import CloudProcess
from tests.integration.test_grpc_api import (  # noqa: F401  # fixtures and tests
    PAYLOADS,
    TIMEOUT_S,
    channel,
    infer_request,
    stub,
    test_a_bad_payload_fails_alone,
    test_a_call_whose_deadline_passes_disturbs_nobody,
    test_a_message_far_over_every_limit_is_refused_by_grpc_itself,
    test_bad_pictures,
    test_classify,
    test_handshake,
    test_infer_gives_the_tails_answers,
    test_many_callers_each_get_their_own_answers,
    test_requests_that_are_refused,
    test_standard_health,
    test_without_a_deadline_and_without_faces,
)
from tests.integration.test_rest_api import (  # noqa: F401  # fixtures and tests
    client,
    portrait,
    test_a_multipart_body_says_the_same,
    test_a_raw_body,
    test_bodies_that_hold_no_picture,
    test_no_face_is_a_result,
    test_other_raw_types,
    test_tails,
    test_the_documentation_tells_bodies_and_errors,
    test_what_the_framework_refuses_looks_the_same,
)
from tests.processes import wait_until

pytest.importorskip("ray")
# Ray starts eight processes.
START_S = 240
DRAIN_S = 10
pytestmark = pytest.mark.timeout(START_S + 60)


@pytest.fixture(scope="module")
def server(
    weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("ray") / "cloud.yaml"
    file.write_text(
        f"engine: ray\ndrain_s: {DRAIN_S}\n"
        "ray: {tail_cpus: 0.1, tail_replicas_max: 1, tail_queued_max: 4}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud_process, "PATIENCE_S", START_S)
        with CloudProcess(weights_folder, "--config", str(file)) as server:
            yield server


def test_a_full_queue_is_our_overloaded(server: CloudProcess, stub) -> None:  # noqa: F811
    request = infer_request(server, *PAYLOADS)
    calls = [stub.Infer.future(request, timeout=TIMEOUT_S) for _ in range(300)]
    codes = {"ok": 0, "overloaded": 0}
    for call in calls:
        for result in call.result().results:
            code = result.error.code or "ok"
            assert code in codes, result.error
            codes[code] += 1
            assert result.error.retryable == (result.error.code == "overloaded")
    assert codes["ok"]
    assert codes["overloaded"]
    assert stub.Infer(request, timeout=TIMEOUT_S).results[0].answer.model


def test_it_drains_as_one_process_does(server: CloudProcess, portrait: bytes) -> None:  # noqa: F811
    """A picture whose second half comes while the server drains is answered; who comes is told."""
    host, port = server.http.split(":")
    url = f"http://{server.http}"
    with (
        server.channel() as to,
        socket.create_connection((host, int(port)), TIMEOUT_S) as caller,
        httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http,
    ):
        head = (
            "POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {len(portrait)}\r\nConnection: close\r\n\r\n"
        )
        caller.sendall(head.encode() + portrait[:1000])
        wait_until(
            lambda: "splitfer_requests_in_flight 1" in http.get("/metrics").text, "a call in flight"
        )
        asked_s = time.monotonic()
        server.signal(signal.SIGTERM)
        wait_until(lambda: http.get("/readyz").status_code == 503, "readiness says no")
        refusal = http.get("/v1/model")
        with pytest.raises(grpc.RpcError) as raised:
            to.unary_unary("/splitfer.v1.SplitFer/GetModel")(b"", timeout=TIMEOUT_S)
        health = to.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT_S)
        caller.sendall(portrait[1000:])
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.exit_code() == 0
        took_s = time.monotonic() - asked_s
    assert http_code(refusal) == (503, "not_ready", "the server is draining")
    error = raised.value
    assert (error.code(), error.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the server is draining",
    )
    assert dict(error.trailing_metadata())["splitfer-code"] == "not_ready"
    assert (
        health_pb2.HealthCheckResponse.FromString(health).status
        == health_pb2.HealthCheckResponse.NOT_SERVING
    )
    assert took_s < DRAIN_S + 2
    assert "draining" in server.log
    assert "\x1b" not in server.log, "a log has no colours"


def http_code(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]
