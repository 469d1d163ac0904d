"""The gRPC API of a real server, through the generated stubs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import SCHEMA_VERSION
from splitfer.shared.labels import LABELS
from splitfer.shared.prior import UNCERTAIN_BELOW
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import Weights
from tests.integration.cloud_process import CloudProcess
from tests.unit.cloud_server.pictures.made_pictures import BAD, encoded, grey

SYMBOLS = np.random.default_rng(1).integers(113, 144, (8, 8, 28, 28), dtype=np.uint8)
PAYLOADS = [PayloadCodec(None, 1).encode(Latent(symbols, 0)) for symbols in SYMBOLS]
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def server(weights_folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(weights_folder) as server:
        yield server


@pytest.fixture
def channel(server: CloudProcess) -> Iterator[grpc.Channel]:
    with server.channel() as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> pb_grpc.SplitFerStub:
    return pb_grpc.SplitFerStub(channel)


def infer_request(server: CloudProcess, *payloads: bytes) -> pb.InferRequest:
    return pb.InferRequest(fingerprint=server.fingerprint, payloads=payloads)


def refused(call: grpc.UnaryUnaryMultiCallable, request: object) -> tuple[str, str, str]:
    """gRPC's code, ours, and whether to try again."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=TIMEOUT_S)
    trailing = {entry.key: entry.value for entry in raised.value.trailing_metadata()}
    assert raised.value.details()
    return (
        raised.value.code().name,
        trailing["splitfer-code"],
        trailing["splitfer-retryable"],
    )


def test_handshake(stub: pb_grpc.SplitFerStub, weights_folder: Path) -> None:
    model = stub.GetModel(pb.GetModelRequest(), timeout=TIMEOUT_S)
    assert model.schema_version == SCHEMA_VERSION
    assert model.fingerprint == weights_folder.name
    assert tuple(model.labels) == LABELS
    assert list(model.tails) == ["cloud"]
    assert "raw" in model.codecs
    assert model.limits.faces_per_frame == 32
    assert model.limits.body_bytes == 8 * 2**20
    assert model.server_version


def test_infer_gives_the_tails_answers(
    server: CloudProcess, stub: pb_grpc.SplitFerStub, weights_folder: Path
) -> None:
    reply = stub.Infer(infer_request(server, *PAYLOADS), timeout=TIMEOUT_S)
    weights = Weights(weights_folder)
    temperatures = np.full(len(SYMBOLS), weights.temperature("cloud", 0), np.float32)
    expected = weights.tail("cloud", 1).run(SYMBOLS, weights.quantiser.steps(0), temperatures)
    got = np.array([result.answer.probabilities for result in reply.results])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert {result.answer.model for result in reply.results} == {f"{server.fingerprint}/cloud"}
    assert 0 < reply.time.tail_ms <= reply.time.total_ms
    assert not reply.time.HasField("detect_ms")


def test_without_a_deadline_and_without_faces(
    server: CloudProcess, stub: pb_grpc.SplitFerStub
) -> None:
    assert not stub.Infer(infer_request(server)).results


def test_many_callers_each_get_their_own_answers(
    server: CloudProcess, stub: pb_grpc.SplitFerStub
) -> None:
    def ask(n: int) -> list[float]:
        reply = stub.Infer(infer_request(server, PAYLOADS[n % 8]), timeout=TIMEOUT_S)
        return list(reply.results[0].answer.probabilities)

    alone = [ask(n) for n in range(8)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(ask, range(64)))
    for n, answer in enumerate(together):
        assert answer == pytest.approx(alone[n % 8], abs=1e-5)


def test_a_bad_payload_fails_alone(server: CloudProcess, stub: pb_grpc.SplitFerStub) -> None:
    damaged = PAYLOADS[1][:-1] + bytes((PAYLOADS[1][-1] ^ 1,))
    reply = stub.Infer(infer_request(server, PAYLOADS[0], damaged, b"\x63"), timeout=TIMEOUT_S)
    assert [result.WhichOneof("result") for result in reply.results] == ["answer", "error", "error"]
    error = reply.results[1].error
    assert error.code == "malformed_payload"
    assert "checksum" in error.message
    assert not error.retryable


def test_requests_that_are_refused(server: CloudProcess, stub: pb_grpc.SplitFerStub) -> None:
    stranger = pb.InferRequest(fingerprint="0" * 16, payloads=PAYLOADS)
    mismatch = ("FAILED_PRECONDITION", "model_mismatch", "false")
    assert refused(stub.Infer, stranger) == mismatch
    assert refused(stub.Infer, pb.InferRequest(payloads=PAYLOADS)) == mismatch
    no_tail = pb.InferRequest(fingerprint=server.fingerprint, tail="best", payloads=PAYLOADS)
    assert refused(stub.Infer, no_tail) == mismatch
    too_large = ("RESOURCE_EXHAUSTED", "too_large", "false")
    assert refused(stub.Infer, infer_request(server, *[b""] * 33)) == too_large
    assert refused(stub.Infer, infer_request(server, bytes(300_000))) == too_large
    body = pb.ClassifyRequest(picture=bytes(8 * 2**20 + 1))
    assert refused(stub.Classify, body) == too_large
    assert stub.Infer(infer_request(server, PAYLOADS[0]), timeout=TIMEOUT_S).results[0].answer.model


def test_a_message_far_over_every_limit_is_refused_by_grpc_itself(
    stub: pb_grpc.SplitFerStub,
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.Classify(pb.ClassifyRequest(picture=bytes(20 * 2**20)), timeout=TIMEOUT_S)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_classify(server: CloudProcess, stub: pb_grpc.SplitFerStub, astronaut: np.ndarray) -> None:
    picture = encoded(astronaut, "WEBP", lossless=True)
    reply = stub.Classify(pb.ClassifyRequest(picture=picture), timeout=TIMEOUT_S)
    assert (reply.width, reply.height) == (512, 512)
    (face,) = reply.faces
    assert 150 < face.box.x < 230
    assert sum(face.result.answer.probabilities) == pytest.approx(1, abs=1e-4)
    assert 0.8 < face.quality <= 1
    assert 0 < face.confidence <= max(face.result.answer.probabilities)
    assert face.uncertain is (face.confidence < UNCERTAIN_BELOW)
    assert reply.time.detect_ms > 0
    assert reply.time.head_ms > 0
    empty = stub.Classify(pb.ClassifyRequest(picture=encoded(grey(99))), timeout=TIMEOUT_S)
    assert not empty.faces
    assert not empty.time.HasField("head_ms")


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures(stub: pb_grpc.SplitFerStub, name: str) -> None:
    data, code = BAD[name]
    grpc_code = "RESOURCE_EXHAUSTED" if code == "too_large" else "INVALID_ARGUMENT"
    assert refused(stub.Classify, pb.ClassifyRequest(picture=data)) == (grpc_code, code, "false")


def test_standard_health(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "splitfer.v1.SplitFer"):
        reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT_S)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_describes_the_service(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "splitfer.v1.SplitFer" in database.get_services()
    described = DescriptorPool(database).FindServiceByName("splitfer.v1.SplitFer")
    assert [method.name for method in described.methods] == [
        "GetModel",
        "Infer",
        "InferStream",
        "Classify",
        "GetWeights",
    ]


def test_a_call_whose_deadline_passes_disturbs_nobody(
    server: CloudProcess, stub: pb_grpc.SplitFerStub, astronaut: np.ndarray
) -> None:
    large = np.tile(astronaut, (4, 4, 1))
    request = pb.ClassifyRequest(picture=encoded(large))
    calls = [stub.Classify.future(request, timeout=0.05) for _ in range(3)]
    for call in calls:
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Infer(infer_request(server, PAYLOADS[0]), timeout=TIMEOUT_S).results
