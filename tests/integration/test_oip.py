"""The Open Inference Protocol of a real server: ``tritonclient`` unchanged, and bare requests."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import Limits
from splitfer.shared.labels import LABELS
from splitfer.shared.stubs.inference import grpc_inference_pb2 as pb
from splitfer.shared.stubs.inference import grpc_inference_pb2_grpc as pb_grpc
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2
from splitfer.shared.vision.crop import crop_face
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess, clean_environment
from tests.integration.message_fields import fields_of
from tests.processes import wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded

CLIENTS = ["http", "http asyncio", "grpc", "grpc asyncio"]
TOKENS = {
    "all": ("word-for-all", [Scope.INFER, Scope.IMAGE, Scope.METRICS]),
    "few": ("word", [Scope.INFER]),
}
TOKEN = TOKENS["all"][0]
METADATA = (("authorization", f"Bearer {TOKEN}"),)
LIMIT_BYTES = 2_000_000
LET_IN = "splitfer_requests_in_flight 1.0"
HEADER_LENGTH = "Inference-Header-Content-Length"
TAIL, FULL = "/v2/models/tail-cloud/infer", "/v2/models/full/infer"


@pytest.fixture(scope="module")
def weights() -> Weights:
    """As shipped: they have three rates, and need no exporter."""
    return Weights(default_folder())


@pytest.fixture(scope="module")
def server(
    weights: Weights, old_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("oip")
    (folder / "tokens.yaml").write_text(
        "\n".join(token_line(name, *entry) for name, entry in TOKENS.items())
    )
    config = folder / "cloud.yaml"
    config.write_text(
        f"tokens: {folder}/tokens.yaml\nlimits: {{body_bytes: {LIMIT_BYTES}}}\nreflection: true\n"
    )
    flags = ("--weights", str(old_weights_folder), "--config", str(config))
    with CloudProcess(weights.folder, *flags) as running:
        yield running


@pytest.fixture
def http(server: CloudProcess) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{server.http}", headers=dict(METADATA), trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture
def stub(server: CloudProcess) -> Iterator[pb_grpc.GRPCInferenceServiceStub]:
    with server.channel() as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def latents(weights: Weights) -> np.ndarray:
    return weights.golden.latents


@pytest.fixture(scope="module")
def picture(astronaut: np.ndarray) -> bytes:
    return encoded(astronaut, "PNG")


@pytest.fixture(scope="module")
def crops(weights: Weights, astronaut: np.ndarray) -> np.ndarray:
    """The one face of ``picture``, as a device would crop it: uint8 ``(1, 1, 224, 224)``."""
    limits, seen = Limits(), to_grey(astronaut)
    boxes = DlibDetector(SearchLimits(640, limits.smallest_face_px, limits.faces_per_frame)).detect(
        seen
    )
    return np.stack([crop_face(seen, box, weights.manifest.crop)[None] for box in boxes])


@pytest.fixture(scope="module")
def answers(
    server: CloudProcess,
    latents: np.ndarray,
    crops: np.ndarray,
    old_weights_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What each of the four clients got: see ``triton_clients``."""
    faces = tmp_path_factory.mktemp("faces") / "faces.npz"
    np.savez(faces, latents=latents, crops=crops, version=old_weights_folder.name)
    command = [
        sys.executable,
        "-m",
        "tests.integration.triton_clients",
        server.http,
        server.grpc,
        TOKEN,
        str(faces),
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * PATIENCE_S, env=clean_environment()
    )
    assert ended.returncode == 0, ended.stderr
    answers: dict[str, Any] = json.loads(ended.stdout)
    return answers


def by_splitfer(
    server: CloudProcess, weights: Weights, latents: np.ndarray, rate: str = ""
) -> np.ndarray:
    """What ``splitfer.v1`` answers to the same latents."""
    index = weights.rate_index(rate)
    payloads = [weights.payload_codec.encode(Latent(one, index)) for one in latents]
    request = splitfer_pb2.InferRequest(fingerprint=weights.manifest.fingerprint, payloads=payloads)
    reply = server.stub().Infer(request, timeout=PATIENCE_S, metadata=METADATA)
    return np.array([result.answer.probabilities for result in reply.results])


def raw_request(latents: np.ndarray, **parameters: Any) -> tuple[bytes, bytes]:
    """The JSON and the tensor behind it."""
    entry = {
        "name": "latent",
        "datatype": "UINT8",
        "shape": latents.shape,
        "parameters": {"binary_data_size": latents.nbytes},
    }
    return json.dumps({"inputs": [entry], "parameters": parameters}).encode(), latents.tobytes()


def latent(shape: str, more: str) -> bytes:
    """A body with one input that says what it should not."""
    entry = f'"name": "latent", "datatype": "UINT8", "shape": {shape}, {more}'
    return f'{{"inputs": [{{{entry}}}]}}'.encode()


def refused(response: httpx.Response) -> tuple[int, str]:
    """The status, and the message: an error's body is that and nothing else."""
    body = response.json()
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    return response.status_code, body["error"]


@pytest.mark.parametrize("client", CLIENTS)
def test_tritonclient_gets_the_answers_of_splitfer(
    server: CloudProcess,
    weights: Weights,
    latents: np.ndarray,
    old_weights_folder: Path,
    answers: dict[str, Any],
    client: str,
) -> None:
    got, old = answers[client], Weights(old_weights_folder)
    for asked, expected in {
        "latents": by_splitfer(server, weights, latents),
        "low": by_splitfer(server, weights, latents, "low"),
        "version": by_splitfer(server, old, latents),
    }.items():
        np.testing.assert_allclose(got[asked]["probabilities"], expected, atol=1e-6)
        assert got[asked]["label"] == [LABELS[row.argmax()] for row in expected]
    assert got["latents"]["version"] == server.fingerprint
    assert got["version"]["version"] == old_weights_folder.name
    assert (got["latents"]["id"], got["low"]["id"]) == ("7", "")


@pytest.mark.parametrize("client", CLIENTS)
def test_the_full_model_answers_as_a_picture_by_the_cloud_tail(
    server: CloudProcess, picture: bytes, answers: dict[str, Any], client: str
) -> None:
    reply = server.stub().Classify(
        splitfer_pb2.ClassifyRequest(picture=picture, tail="cloud"),
        timeout=PATIENCE_S,
        metadata=METADATA,
    )
    expected = [face.result.answer.probabilities for face in reply.faces]
    for asked in ("float crops", "uint8 crops"):
        np.testing.assert_allclose(answers[client][asked]["probabilities"], expected, atol=1e-6)
    only = answers[client]["one output"]
    assert only["probabilities"] is None
    assert only["label"] == answers[client]["float crops"]["label"]


@pytest.mark.parametrize("client", CLIENTS)
def test_tritonclient_reads_health_and_metadata(
    server: CloudProcess, old_weights_folder: Path, answers: dict[str, Any], client: str
) -> None:
    got = answers[client]
    assert (got["live"], got["ready"], got["model ready"]) == (True, True, True)
    assert (got["server"]["name"], got["server"]["extensions"]) == (
        "splitfer",
        ["binary_tensor_data"],
    )
    model = got["model"]
    assert model["versions"] == [server.fingerprint, old_weights_folder.name]
    tensors = [
        (one["name"], one["datatype"], [int(side) for side in one["shape"]])
        for one in (*model["inputs"], *model["outputs"])
    ]
    assert tensors == [
        ("latent", "UINT8", [-1, 8, 28, 28]),
        ("probabilities", "FP32", [-1, 7]),
        ("label", "BYTES", [-1]),
    ]


ERRORS = {
    "model": ("404", "NOT_FOUND", "there are full, tail-cloud"),
    "version": ("404", "NOT_FOUND", "no version '1'"),
    "input": ("400", "INVALID_ARGUMENT", "takes the one input 'crop'"),
    "datatype": ("400", "INVALID_ARGUMENT", "it takes UINT8"),
    "shape": ("400", "INVALID_ARGUMENT", "[-1, 8, 28, 28]"),
    "faces": ("413", "RESOURCE_EXHAUSTED", "at most 32"),
    "values": ("400", "INVALID_ARGUMENT", "from 0 to 255"),
    "rate": ("400", "INVALID_ARGUMENT", "there are high, default, low"),
    "timeout": ("504", "DEADLINE_EXCEEDED", "deadline"),
    "token": ("401", "UNAUTHENTICATED", "Bearer"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_tritonclient_is_told_what_is_wrong(answers: dict[str, Any], client: str) -> None:
    place = 0 if client.startswith("http") else 1
    got = answers[client]["errors"]
    assert {name: error["status"].split(".")[-1] for name, error in got.items()} == {
        name: expected[place] for name, expected in ERRORS.items()
    }
    for name, (*_, words) in ERRORS.items():
        assert words in got[name]["message"]


def test_our_messages_are_the_protocols(answers: dict[str, Any]) -> None:
    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    ours = fields_of(file.message_type)
    assert ours == {name: answers["protocol"].get(name) for name in ours}


def test_the_root_is_the_same_with_a_slash(http: httpx.Client) -> None:
    root = http.get("/v2")
    assert root.status_code == 200
    assert http.get("/v2/").json() == root.json()


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_json_tensors(
    http: httpx.Client, server: CloudProcess, weights: Weights, latents: np.ndarray, form: str
) -> None:
    data = latents.ravel().tolist() if form == "flat" else latents.tolist()
    entry = {"name": "latent", "datatype": "UINT8", "shape": latents.shape, "data": data}
    body = http.post(TAIL, json={"id": "a", "inputs": [entry], "more": 1}).json()
    assert (body["model_name"], body["model_version"]) == ("tail-cloud", server.fingerprint)
    assert body["id"] == "a"
    probabilities, label = body["outputs"]
    expected = by_splitfer(server, weights, latents)
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [len(latents), 7])
    np.testing.assert_allclose(np.reshape(probabilities["data"], (-1, 7)), expected, atol=1e-6)
    assert label["data"] == [LABELS[row.argmax()] for row in expected]


def test_raw_and_json_outputs_in_one_reply(http: httpx.Client, latents: np.ndarray) -> None:
    text, tensor = raw_request(latents)
    asked = json.loads(text)
    asked["outputs"] = [
        {"name": "label"},
        {"name": "probabilities", "parameters": {"binary_data": True}},
    ]
    text = json.dumps(asked).encode()
    reply = http.post(TAIL, content=text + tensor, headers={HEADER_LENGTH: str(len(text))})
    size = int(reply.headers[HEADER_LENGTH])
    label, probabilities = json.loads(reply.content[:size])["outputs"]
    assert set(label["data"]) <= set(LABELS)
    assert "data" not in probabilities
    assert probabilities["parameters"] == {"binary_data_size": len(reply.content) - size}
    rows = np.frombuffer(reply.content[size:], "<f4").reshape(probabilities["shape"])
    assert [LABELS[row.argmax()] for row in rows] == label["data"]


def test_typed_contents_over_grpc(
    server: CloudProcess,
    stub: pb_grpc.GRPCInferenceServiceStub,
    weights: Weights,
    latents: np.ndarray,
) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="latent",
        datatype="UINT8",
        shape=latents.shape,
        contents=pb.InferTensorContents(uint_contents=latents.ravel().tolist()),
    )
    request = pb.ModelInferRequest(model_name="tail-cloud", inputs=[tensor])
    reply = stub.ModelInfer(request, timeout=PATIENCE_S, metadata=METADATA)
    assert not reply.raw_output_contents
    probabilities, label = reply.outputs
    expected = by_splitfer(server, weights, latents)
    got = np.reshape(probabilities.contents.fp32_contents, (-1, 7))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert [word.decode() for word in label.contents.bytes_contents] == [
        LABELS[row.argmax()] for row in expected
    ]


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"", None, "EOF"),
        (b"[]", None, "object"),
        (b"{}", None, "inputs"),
        (b'{"inputs": []}', None, "0 inputs"),
        (b'{"inputs": []}', "15", "Inference-Header-Content-Length is 15"),
        (b'{"inputs": []}', "-1", "not a number"),
        (b'{"inputs": []}', "9" * 30, "not a number"),
        (b'{"inputs": []}x', "14", "behind the last tensor"),
        (b'{"inputs": ' + b"[" * 5000, None, "recursion"),
        (latent("[1]", '"id": 1'), None, "neither"),
        (latent("[9, 8, 28, 28]", '"data": [1]'), None, "1 elements"),
        (latent("[1, 8, 28, 28]", '"parameters": {"binary_data_size": 9e9}'), None, "number of"),
        (latent("[1, 8, 28, 28]", '"parameters": {"binary_data_size": 9999}'), None, "lacks"),
        (latent("[-1]", '"data": []'), None, "inputs.0.shape.0"),
    ],
)
def test_bodies_that_are_no_request(
    http: httpx.Client, body: bytes, length: str | None, words: str
) -> None:
    headers = {HEADER_LENGTH: length} if length else {}
    status, message = refused(http.post(TAIL, content=body, headers=headers))
    assert status == 400
    assert words in message


def test_sizes_are_refused_before_they_cost_anything(
    server: CloudProcess, http: httpx.Client, stub: pb_grpc.GRPCInferenceServiceStub
) -> None:
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST {TAIL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: {LIMIT_BYTES + 1}\r\n\r\n".encode())
        reply = b""
        while b"}" not in reply:  # no byte of the body was sent
            reply += connection.recv(65536)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    bomb = gzip.compress(bytes(LIMIT_BYTES + 1))
    assert refused(http.post(TAIL, content=bomb, headers={"Content-Encoding": "gzip"}))[0] == 413
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="latent", datatype="UINT8", shape=[2**62, 8, 28, 28]
    )
    request = pb.ModelInferRequest(
        model_name="tail-cloud", inputs=[tensor], raw_input_contents=[b"x"]
    )
    with pytest.raises(grpc.RpcError, match="faces") as raised:
        stub.ModelInfer(request, timeout=PATIENCE_S, metadata=METADATA)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_gzip_that_is_damaged(http: httpx.Client) -> None:
    whole = gzip.compress(b'{"inputs": []}')
    for body, encoding in ((whole[:-9], "gzip"), (b"x", "deflate"), (whole, "br")):
        answer = http.post(TAIL, content=body, headers={"Content-Encoding": encoding})
        assert refused(answer)[0] == 400


def test_scopes(http: httpx.Client, latents: np.ndarray) -> None:
    few = {"Authorization": f"Bearer {TOKENS['few'][0]}"}
    text, tensor = raw_request(latents)
    body = {"content": text + tensor, "headers": {**few, HEADER_LENGTH: str(len(text))}}
    assert http.post(TAIL, **body).status_code == 200
    assert refused(http.post(FULL, **body))[0] == 403
    nobody = {"Authorization": "Bearer guess"}
    for path in ("/v2", "/v2/models/full", "/v2/models/nobody", "/v2/models/full/ready"):
        assert refused(http.get(path, headers=nobody))[0] == 401
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert http.get(path, headers=nobody).status_code == 200


def test_what_the_framework_refuses_looks_the_same(http: httpx.Client) -> None:
    assert refused(http.get("/v2/nothing"))[0] == 404
    assert refused(http.get(TAIL))[0] == 405
    soon = http.post(TAIL, headers={"X-SplitFER-Deadline-Ms": "soon"})
    assert refused(soon)[0] == 422


def test_requests_are_counted(http: httpx.Client) -> None:
    def counted() -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(http.get("/metrics").text)
            for sample in family.samples
            if sample.name == "splitfer_requests_total"
            and sample.labels["method"] == "POST /v2/models/{name}/infer"
            and sample.labels["code"] == "malformed_payload"
        )

    before = counted()
    http.post(TAIL, content=b"{}")
    assert counted() == before + 1


def test_reflection_and_health_know_the_service(server: CloudProcess) -> None:
    service = "inference.GRPCInferenceService"
    with server.channel() as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        question = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        described = next(ask(question, metadata=METADATA, timeout=PATIENCE_S))
        assert service in [one.name for one in described.list_services_response.service]
        health = health_pb2_grpc.HealthStub(channel)
        state = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
    assert state.status == health_pb2.HealthCheckResponse.SERVING


def test_a_model_that_is_not_there_is_not_ready(
    stub: pb_grpc.GRPCInferenceServiceStub, http: httpx.Client
) -> None:
    for name, ready in (("full", True), ("nobody", False)):
        request = pb.ModelReadyRequest(name=name)
        said = stub.ModelReady(request, timeout=PATIENCE_S, metadata=METADATA)
        assert said.ready is ready
        assert (http.get(f"/v2/models/{name}/ready").status_code == 200) is ready


def test_draining(weights: Weights) -> None:
    with CloudProcess(weights.folder) as server, server.channel() as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        host, port = server.http.split(":")
        with (
            httpx.Client(base_url=f"http://{server.http}", trust_env=False) as http,
            socket.create_connection((host, int(port)), timeout=30) as slow,
        ):
            slow.sendall(f"POST {TAIL} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
            wait_until(lambda: LET_IN in http.get("/metrics").text, "the request to be let in")
            server.signal(signal.SIGTERM)
            wait_until(lambda: http.get("/v2/health/ready").status_code == 503, "the drain")
            assert http.get("/v2/health/live").json() == {"live": True}
            assert http.get("/v2/models/full/ready").json() == {"name": "full", "ready": False}
            assert refused(http.post(TAIL, content=b"{}"))[0] == 503
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=PATIENCE_S).live
            assert not stub.ServerReady(pb.ServerReadyRequest(), timeout=PATIENCE_S).ready
            ready = stub.ModelReady(pb.ModelReadyRequest(name="full"), timeout=PATIENCE_S)
            assert not ready.ready
            slow.sendall(b"{}       ")
            assert slow.recv(100).startswith(b"HTTP/1.1 400 ")  # it was still served
        assert server.exit_code() == 0
