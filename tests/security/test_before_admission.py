"""Strangers' messages and bodies cost next to nothing: they are judged before they are read."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from benchmarks.attack import messages as of
from benchmarks.attack.memory import cpu_s, status_mib
from benchmarks.net.http2_caller import PREFACE, SETTINGS, WINDOW, frame
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.cloud_server.grpc_api.health import WATCHES_MAX
from splitfer.shared.stubs.inference import grpc_inference_pb2 as oip_pb
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.integration.test_infer_stream import Stream
from tests.processes import wait_until

TOKEN = "a-word-for-all-who-may"
DRAIN_S = 2
# What honest work beside the attack may add.
SLACK_MIB = 120


def peak_mib(server: CloudProcess) -> float:
    """Of its resident memory, since it started."""
    return status_mib(server.pid, "VmHWM")


def with_tokens(folder: Path) -> CloudProcess:
    """A server with tokens, which stand in ``folder``."""
    (folder / "tokens.yaml").write_text(token_line("all", TOKEN, [Scope.INFER, Scope.IMAGE]))
    config = folder / "cloud.yaml"
    config.write_text(f"tokens: {folder}/tokens.yaml\ndrain_s: {DRAIN_S}\n")
    return CloudProcess(default_folder(), "--config", str(config))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A server with tokens, for tests that leave it as it is."""
    with with_tokens(tmp_path_factory.mktemp("closed")) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[CloudProcess]:
    """The same for one test, which stops it or takes its tokens away."""
    with with_tokens(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[CloudProcess]:
    """A server without tokens."""
    with CloudProcess(default_folder()) as running:
        yield running


def code_of(channel: grpc.Channel, method: str, message: bytes, **more: object) -> grpc.StatusCode:
    call = channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as raised:
        call(message, timeout=PATIENCE_S, **more)
    code: grpc.StatusCode = raised.value.code()
    return code


def test_a_strangers_message_is_not_read(closed: CloudProcess) -> None:
    before = peak_mib(closed)
    empty_inputs = of.EMPTY_INPUT * of.MANY_FIELDS
    with closed.channel() as channel:
        for _ in range(14):
            code = code_of(channel, of.MODEL_INFER, empty_inputs)
            assert code is grpc.StatusCode.UNAUTHENTICATED
    assert peak_mib(closed) - before < SLACK_MIB


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        (of.MODEL_INFER, of.EMPTY_INPUT),
        (of.MODEL_INFER, of.EMPTY_OUTPUT),
        (of.INFER, of.EMPTY_PAYLOAD),
    ],
)
def test_many_small_fields_are_refused_before_they_are_objects(
    open_to_all: CloudProcess, method: str, fields: bytes
) -> None:
    before = peak_mib(open_to_all)
    with open_to_all.channel() as channel:
        started = time.monotonic()
        code = code_of(channel, method, fields * (3 * 2**20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert time.monotonic() - started < 5
    assert peak_mib(open_to_all) - before < SLACK_MIB


def test_fields_inside_fields_count_too(open_to_all: CloudProcess) -> None:
    tensor = oip_pb.ModelInferRequest.InferInputTensor(name="latent", datatype="BYTES")
    tensor.contents.bytes_contents.extend([b""] * 100_000)
    request = oip_pb.ModelInferRequest(model_name="tail-cloud", inputs=[tensor])
    with open_to_all.channel() as channel:
        code = code_of(channel, of.MODEL_INFER, request.SerializeToString())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_numbers_that_nobody_reads_are_refused(open_to_all: CloudProcess) -> None:
    """Eight bytes each would be kept of a byte on the wire, for as long as the call waits."""
    tensor = oip_pb.ModelInferRequest.InferInputTensor(
        name="latent", datatype="UINT8", shape=[1, 8, 28, 28]
    )
    tensor.contents.uint_contents.extend([128] * 8 * 28 * 28)
    request = oip_pb.ModelInferRequest(model_name="tail-cloud", inputs=[tensor])
    with open_to_all.channel() as channel:
        assert channel.unary_unary(of.MODEL_INFER)(request.SerializeToString(), timeout=PATIENCE_S)
        request.inputs[0].contents.int64_contents.extend([1] * 1_000_000)
        code = code_of(channel, of.MODEL_INFER, request.SerializeToString())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_packed_messages_are_not_unpacked(open_to_all: CloudProcess) -> None:
    with open_to_all.channel() as channel:
        code = code_of(channel, of.INFER, bytes(100_000), compression=grpc.Compression.Gzip)
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_many_tensors_in_json_are_refused_at_once(open_to_all: CloudProcess) -> None:
    before = peak_mib(open_to_all)
    with httpx.Client(base_url=f"http://{open_to_all.http}", timeout=PATIENCE_S) as client:
        for body in (of.many_tensors(), of.many_outputs(), of.long_shape()):
            started = time.monotonic()
            answer = client.post(of.TENSOR_ROUTE, content=body, headers=of.GZIPPED)
            assert answer.status_code == 400, answer.text
            assert len(answer.content) < 1000
            assert time.monotonic() - started < 3
    assert peak_mib(open_to_all) - before < SLACK_MIB


@pytest.mark.parametrize("path", ["/v1/admin/models", "/v1/faces", "/v2/models/full/infer"])
def test_a_strangers_body_is_not_waited_for(closed: CloudProcess, path: str) -> None:
    with socket.create_connection(closed.http.split(":"), timeout=PATIENCE_S) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 5000000\r\n\r\n".encode()
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_an_operators_wish_is_small(open_to_all: CloudProcess, closed: CloudProcess) -> None:
    body = of.operators_wish(100_000)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"http://{closed.http}/v1/admin/models", content=body, headers=headers)
    assert answer.status_code == 403  # the scope comes first


def test_watches_are_bounded_told_and_hold_up_no_stop(own: CloudProcess) -> None:
    state = health_pb2.HealthCheckResponse
    with ExitStack() as stack:
        channel = stack.enter_context(own.channel())
        watch = health_pb2_grpc.HealthStub(channel).Watch
        watches = []
        for _ in range(WATCHES_MAX):  # one after another: gRPC turns crowds of calls away
            watches.append(watch(health_pb2.HealthCheckRequest()))
            assert next(watches[-1]).status == state.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            next(watch(health_pb2.HealthCheckRequest()))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as raised:
            next(watch(health_pb2.HealthCheckRequest(service="x" * 8_000_000)))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        started = time.monotonic()
        own.signal(signal.SIGTERM)
        assert next(watches[0]).status == state.NOT_SERVING
        assert own.exit_code() == 0
        assert time.monotonic() - started < DRAIN_S + 2


def test_a_flood_of_frames_holds_up_no_stop(own: CloudProcess) -> None:
    flood = frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 1000
    host, port = own.grpc.split(":")
    stopped = threading.Event()

    def attack() -> None:
        with (
            suppress(OSError),
            socket.create_connection((host, int(port)), PATIENCE_S) as connection,
        ):
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
            while not stopped.is_set():
                connection.sendall(flood)

    attackers = [threading.Thread(target=attack) for _ in range(4)]
    before_s = cpu_s(own.pid)
    for one in attackers:
        one.start()
    try:
        wait_until(lambda: cpu_s(own.pid) > before_s + 1, "the flood is felt")
        started = time.monotonic()
        own.signal(signal.SIGTERM)
        assert own.exit_code() == 0
        assert time.monotonic() - started < DRAIN_S + 2
    finally:
        stopped.set()
        for one in attackers:
            one.join()


def test_reflection_is_for_servers_without_tokens_and_bounded(
    closed: CloudProcess, open_to_all: CloudProcess
) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with closed.channel() as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        with pytest.raises(grpc.RpcError) as raised:
            next(ask(iter([question])))
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with open_to_all.channel() as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        answer = next(ask(iter([question])))
        assert len(answer.list_services_response.service) == 4


def test_a_token_that_is_taken_away_is_refused_on_an_open_stream(
    own: CloudProcess, tmp_path: Path
) -> None:
    with own.channel() as channel, Stream(own, channel, TOKEN) as stream:
        stream.send(1)
        assert stream.answers(1)[1].WhichOneof("outcome") == "response"
        other = token_line("all", "another-word-that-is-long", [Scope.INFER])
        (tmp_path / "tokens.yaml").write_text(other)
        own.signal(signal.SIGHUP)
        own.wait_for_line("reloaded the tokens")
        stream.send(2)
        assert stream.answers(1)[2].error.code == "unauthorised"


def raw(server: CloudProcess, data: bytes) -> bytes:
    with socket.create_connection(server.http.split(":"), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\nHost: x\n\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        of.CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"0\r\n\r\n",
        of.CHUNKED + of.SMALL_CHUNK * 3000,
    ],
    ids=["line feeds", "one line feed", "two lengths", "small chunks"],
)
def test_what_readers_of_http_differ_in_is_refused(
    open_to_all: CloudProcess, request_: bytes
) -> None:
    assert raw(open_to_all, request_).startswith(b"HTTP/1.1 400 ")


def test_a_redirect_does_not_go_where_the_caller_says(open_to_all: CloudProcess) -> None:
    answer = raw(
        open_to_all, b"GET /v1/model/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"evil.example" not in answer


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/model", "/v2", "/page/view.js"])
def test_a_whole_address_is_taken_on_every_route_and_said_nowhere(
    open_to_all: CloudProcess, path: str
) -> None:
    more = b"Host: x\r\nConnection: close\r\n\r\n"
    answer = raw(open_to_all, b"GET http://evil.example%s HTTP/1.1\r\n" % path.encode() + more)
    assert answer.startswith(b"HTTP/1.1 200 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"evil.example" not in head
    plain = httpx.get(f"http://{open_to_all.http}{path}", headers={"Accept-Encoding": ""})
    assert body == plain.content
    missing = raw(open_to_all, b"GET http://evil.example/v1/model/ HTTP/1.1\r\n" + more)
    assert missing.startswith(b"HTTP/1.1 404 ")
    assert b"evil.example" not in missing


def test_a_callers_host_does_not_choose_the_shape_of_an_error(open_to_all: CloudProcess) -> None:
    with httpx.Client(base_url=f"http://{open_to_all.http}") as client:
        for host in ("[::", "x", "[v1.a]"):
            answer = client.get("/v2/nothing", headers={"Host": host})
            assert answer.status_code in (400, 404), answer.text
            assert "error" in answer.json()


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/model", "/v2", "/nowhere"])
def test_every_reply_says_what_browsers_shall_not_do(open_to_all: CloudProcess, path: str) -> None:
    headers = httpx.get(f"http://{open_to_all.http}{path}").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_small_chunks_after_a_refusal_are_not_read(closed: CloudProcess) -> None:
    with socket.create_connection(closed.http.split(":"), timeout=PATIENCE_S) as connection:
        connection.sendall(of.CHUNKED)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        used = cpu_s(closed.pid)
        chunks = of.SMALL_CHUNK * 10_000
        with suppress(OSError):
            while True:
                connection.sendall(chunks)
        assert cpu_s(closed.pid) - used < 0.5


def test_a_large_body_is_not_read_after_its_refusal(closed: CloudProcess) -> None:
    head = b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
    used = cpu_s(closed.pid)
    for _ in range(3):
        with socket.create_connection(closed.http.split(":"), timeout=PATIENCE_S) as connection:
            connection.sendall(head)
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
            connection.settimeout(0.2)  # a part of what a refusal waits for
            sent, taken = bytes(2**16), 0
            with suppress(TimeoutError):
                while taken < 2**23:
                    taken += connection.send(sent)
            assert taken < 2**23, "it took what it had refused"
    assert cpu_s(closed.pid) - used < 0.5
