"""A server whose tails answer both label sets beside the first weights, and edges with either."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from splitfer.edge_client import cli
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import REPLY_VERSION, AnswerPath, FaceAnswer, Reason
from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import DEFAULT_PRIOR, Prior, balanced
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import Weights, shipped_folders
from tests.exported_weights import CROWD_PRIORS
from tests.integration.cloud_process import CloudProcess
from tests.unit.cloud_server.pictures.made_pictures import encoded

PATIENT_MS = 60_000
TIMEOUT_S = 30
CROWD, FER2013 = LabelSet
SYMBOLS = np.random.default_rng(1).integers(113, 144, (3, 8, 28, 28), dtype=np.uint8)
PAYLOADS = [PayloadCodec(None, 1).encode(Latent(symbols, 0)) for symbols in SYMBOLS]


@pytest.fixture(scope="module")
def server(crowd_weights_folder: Path, old_weights_folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(crowd_weights_folder, "--weights", str(old_weights_folder)) as server:
        yield server


@pytest.fixture(scope="module")
def old_server(weights_folder: Path) -> Iterator[CloudProcess]:
    """The same head with tails from before there were two label sets."""
    with CloudProcess(weights_folder) as server:
        yield server


@pytest.fixture
def client(server: CloudProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.http}", timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def expected(crowd_weights_folder: Path) -> dict[LabelSet, Any]:
    """What the cloud tail says of ``SYMBOLS``."""
    weights = Weights(crowd_weights_folder)
    tail, steps = weights.tail("cloud", 1), weights.quantiser.steps(0)
    rows = {one: tail.run(SYMBOLS, steps, label_set=one) for one in LabelSet}
    assert np.abs(rows[CROWD] - rows[FER2013]).max() > 0.05
    return rows


def probabilities(face: dict[str, Any]) -> list[float]:
    return list(face["probabilities"].values())


def rest(client: httpx.Client, picture: bytes, **query: str) -> dict[str, Any]:
    response = client.post("/v1/faces", content=picture, params=query)
    assert response.status_code == 200, response.text
    assert response.json()["schema_version"] == REPLY_VERSION
    (face,) = response.json()["faces"]
    found: dict[str, Any] = face
    return found


def test_rest_answers_what_is_asked_for(client: httpx.Client, astronaut: np.ndarray) -> None:
    picture = encoded(astronaut, "PNG")
    crowd, single = (rest(client, picture, labels=one, prior="natural") for one in LabelSet)
    assert (crowd["labels"], single["labels"]) == ("crowd", "fer2013")
    assert np.abs(np.subtract(probabilities(crowd), probabilities(single))).max() > 0.01
    default = rest(client, picture)
    assert (default["labels"], default["prior"]) == ("crowd", DEFAULT_PRIOR.value)
    assert rest(client, picture, labels="", prior="") == default
    for natural, labels in ((crowd, "crowd"), (single, "fer2013")):
        even = rest(client, picture, labels=labels, prior="balanced")
        assert (even["labels"], even["prior"]) == (labels, "balanced")
        wanted = balanced(np.array([probabilities(natural)]), np.array(CROWD_PRIORS[labels]))
        np.testing.assert_allclose(probabilities(even), wanted[0], atol=1e-5)
    model = client.get("/v1/model").json()
    assert model["label_sets"] == ["crowd", "fer2013"]


@pytest.mark.parametrize(
    ("name", "word", "known"),
    [("labels", "people", "'crowd' or 'fer2013'"), ("prior", "even", "'natural' or 'balanced'")],
)
def test_rest_names_a_word_that_it_does_not_know(
    client: httpx.Client, astronaut: np.ndarray, name: str, word: str, known: str
) -> None:
    response = client.post("/v1/faces", content=encoded(astronaut), params={name: word})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == "bad_request"
    assert error["message"] == f"{name}: Input should be {known}"


def test_grpc_answers_what_is_asked_for(
    server: CloudProcess, old_weights_folder: Path, expected: dict[LabelSet, Any]
) -> None:
    stub = server.stub()
    model = stub.GetModel(pb.GetModelRequest(), timeout=TIMEOUT_S)
    assert list(model.label_sets) == ["crowd", "fer2013"]
    old = pb.GetModelRequest(fingerprint=old_weights_folder.name)
    assert list(stub.GetModel(old, timeout=TIMEOUT_S).label_sets) == ["fer2013"]
    for asked, answered in (("crowd", CROWD), ("fer2013", FER2013), ("", CROWD)):
        request = pb.InferRequest(fingerprint=server.fingerprint, payloads=PAYLOADS, labels=asked)
        alone = stub.Infer(request, timeout=TIMEOUT_S)
        (streamed,) = stub.InferStream(
            iter([pb.InferStreamRequest(id=7, request=request)]), timeout=TIMEOUT_S
        )
        for reply in (alone, streamed.response):
            for one, row in zip(reply.results, expected[answered], strict=True):
                assert (one.answer.labels, one.answer.prior) == (answered.value, "")
                np.testing.assert_allclose(one.answer.probabilities, row, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "folder", "code", "ours"),
    [
        ("people", "crowd_weights_folder", "INVALID_ARGUMENT", "malformed_payload"),
        ("crowd", "old_weights_folder", "FAILED_PRECONDITION", "model_mismatch"),
    ],
)
def test_grpc_refuses_labels_that_are_not_there(
    server: CloudProcess,
    request: pytest.FixtureRequest,
    labels: str,
    folder: str,
    code: str,
    ours: str,
) -> None:
    fingerprint = request.getfixturevalue(folder).name
    asked = pb.InferRequest(fingerprint=fingerprint, payloads=PAYLOADS, labels=labels)
    with pytest.raises(grpc.RpcError) as raised:
        server.stub().Infer(asked, timeout=TIMEOUT_S)
    trailing = {entry.key: entry.value for entry in raised.value.trailing_metadata()}
    assert (raised.value.code().name, trailing["splitfer-code"]) == (code, ours)
    assert "crowd" in raised.value.details()
    assert "fer2013" in raised.value.details()
    (streamed,) = server.stub().InferStream(
        iter([pb.InferStreamRequest(id=1, request=asked)]), timeout=TIMEOUT_S
    )
    assert streamed.error.code == ours


def test_grpc_classifies_with_either_prior(server: CloudProcess, astronaut: np.ndarray) -> None:
    def classified(prior: str) -> pb.Answer:
        request = pb.ClassifyRequest(picture=encoded(astronaut), labels="fer2013", prior=prior)
        (face,) = server.stub().Classify(request, timeout=TIMEOUT_S).faces
        assert face.result.answer.labels == "fer2013"
        return face.result.answer

    natural, even = classified("natural"), classified("balanced")
    assert (natural.prior, even.prior) == ("", "balanced")
    wanted = balanced(np.array([natural.probabilities]), np.array(CROWD_PRIORS["fer2013"]))
    np.testing.assert_allclose(even.probabilities, wanted[0], atol=1e-5)
    with pytest.raises(grpc.RpcError, match="natural, balanced"):
        classified("even")


def test_the_open_inference_protocol_takes_a_parameter(
    client: httpx.Client, expected: dict[LabelSet, Any]
) -> None:
    tensor = {"name": "latent", "datatype": "UINT8", "shape": list(SYMBOLS.shape)}
    inputs = [{**tensor, "data": SYMBOLS.ravel().tolist()}]

    def infer(**parameters: str) -> httpx.Response:
        body = {"inputs": inputs, "parameters": {"rate": "high", **parameters}}
        return client.post("/v2/models/tail-cloud/infer", json=body)

    for parameters, label_set in (({}, CROWD), *(({"labels": one.value}, one) for one in LabelSet)):
        (found, _) = infer(**parameters).json()["outputs"]
        rows = np.reshape(found["data"], (3, 7))
        np.testing.assert_allclose(rows, expected[label_set], atol=1e-5)
    wrong = infer(labels="people")
    assert wrong.status_code == 400
    assert "crowd, fer2013" in wrong.json()["error"]


def by_cloud(server: CloudProcess, folder: Path, picture: Any, **settings: Any) -> FaceAnswer:
    given = {"weights": folder, "policy": "cloud", "deadline_ms": PATIENT_MS, **settings}
    with Recognizer(server.grpc, **given) as recognizer:
        face, *_ = recognizer.faces(picture)  # a JPEG may seem to have another, smaller one
    return face


@pytest.mark.parametrize("policy", ["cloud", "local", "image"])
@pytest.mark.parametrize("labels", [None, "crowd", "fer2013"])
def test_an_edge_is_told_what_it_asked_for(
    server: CloudProcess,
    crowd_weights_folder: Path,
    astronaut: np.ndarray,
    policy: str,
    labels: str | None,
) -> None:
    natural = by_cloud(server, crowd_weights_folder, astronaut, labels=labels, policy=policy)
    assert (natural.path.value, natural.reason) == (policy, None)
    assert natural.answer.labels == (labels or "crowd")
    assert natural.answer.prior is DEFAULT_PRIOR
    even = by_cloud(
        server, crowd_weights_folder, astronaut, labels=labels, policy=policy, prior="balanced"
    )
    assert even.answer.prior is Prior.BALANCED
    prior = CROWD_PRIORS[natural.answer.labels]
    wanted = balanced(np.array([natural.answer.probabilities]), np.array(prior))
    np.testing.assert_allclose(even.answer.probabilities, wanted[0], atol=1e-4)


def test_an_edge_with_old_weights_works_with_a_server_of_both(
    server: CloudProcess, old_weights_folder: Path, astronaut: np.ndarray
) -> None:
    face = by_cloud(server, old_weights_folder, astronaut)
    assert (face.path, face.reason) == (AnswerPath.CLOUD, None)
    assert (face.answer.labels, face.answer.prior) == (FER2013, Prior.NATURAL)


@pytest.fixture(scope="module")
def shipped_server() -> Iterator[CloudProcess]:
    first, *others = shipped_folders()
    flags = [flag for folder in others for flag in ("--weights", str(folder))]
    with CloudProcess(first, *flags) as server:
        yield server


@pytest.mark.parametrize("folder", shipped_folders(), ids=lambda folder: folder.name)
def test_all_weights_that_are_shipped_are_served_side_by_side(
    shipped_server: CloudProcess, folder: Path, astronaut: np.ndarray
) -> None:
    face = by_cloud(shipped_server, folder, astronaut)
    assert (face.path, face.reason) == (AnswerPath.CLOUD, None)
    assert face.answer.labels is Weights(folder).manifest.default_label_set
    assert face.label == "happy"


def test_a_caller_from_before_is_answered_in_the_weights_default(
    server: CloudProcess, old_weights_folder: Path
) -> None:
    request = pb.InferRequest(fingerprint=old_weights_folder.name, payloads=PAYLOADS)
    reply = server.stub().Infer(request, timeout=TIMEOUT_S)
    assert {one.answer.labels for one in reply.results} == {"fer2013"}


def test_an_edge_is_never_told_other_labels_than_it_asked_for(
    old_server: CloudProcess,
    crowd_weights_folder: Path,
    astronaut: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        face = by_cloud(old_server, crowd_weights_folder, astronaut)
    assert (face.path, face.reason) == (AnswerPath.LOCAL, Reason.MODEL_MISMATCH)
    assert face.answer.labels is CROWD
    assert "this device asks for labels crowd, the server answers fer2013" in caplog.text
    face = by_cloud(old_server, crowd_weights_folder, astronaut, labels="fer2013")
    assert (face.path, face.reason) == (AnswerPath.CLOUD, None)
    assert face.answer.labels is FER2013


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"labels": "crowd"}, "labels: .* do not answer crowd; they answer fer2013"),
        ({"prior": "balanced"}, "prior: .* they answer natural only"),
        ({"labels": "people"}, "labels"),
    ],
)
def test_what_the_weights_do_not_have_is_said_at_the_start(
    weights_folder: Path, setting: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Recognizer(weights=weights_folder, **setting)


def test_a_server_that_cannot_balance_says_so_at_its_start(weights_folder: Path) -> None:
    from splitfer.cloud_server.config import CloudConfig
    from splitfer.cloud_server.weights.registry import Registry

    config = CloudConfig(weights=(weights_folder,), prior=Prior.BALANCED)
    with pytest.raises(ConfigError, match=r"prior: .* they answer natural only"):
        Registry.load(config)


def test_records_say_whose_labels_and_which_prior(
    crowd_weights_folder: Path, astronaut: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    out = tmp_path / "out.jsonl"
    command = ["classify", str(tmp_path / "face.png"), "--weights", str(crowd_weights_folder)]
    command += ["--output", str(out), "--labels", "fer2013", "--prior", "balanced"]
    assert cli.main(command) == 0
    (record,) = map(json.loads, out.read_text().splitlines())
    assert (record["labels"], record["prior"]) == ("fer2013", "balanced")
