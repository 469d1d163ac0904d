"""A server with the weights of today and the first ones, and edges with either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.codec.payload import MAX_PAYLOAD_BYTES
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from tests.integration.cloud_process import CloudProcess

PATIENT_MS = 60_000


@pytest.fixture(scope="module")
def server(coded_weights_folder: Path, old_weights_folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(coded_weights_folder, "--weights", str(old_weights_folder)) as server:
        yield server


@pytest.mark.parametrize("which", ["coded_weights_folder", "old_weights_folder"])
def test_an_edge_with_either_is_answered_by_its_own(
    server: CloudProcess, which: str, astronaut: np.ndarray, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(which)
    settings = {"weights": folder, "policy": "cloud", "deadline_ms": PATIENT_MS}
    with Recognizer(server.grpc, **settings) as recognizer:
        (face,) = recognizer.faces(astronaut)
    assert (face.path, face.reason) == (AnswerPath.CLOUD, None)
    assert face.answer.model == f"{folder.name}/cloud"
    if which == "old_weights_folder":
        assert (face.rate, face.sent_bytes) == ("full", MAX_PAYLOAD_BYTES)
    else:
        assert face.rate == "default"


def test_each_rate_is_sent_and_answered(
    server: CloudProcess, coded_weights_folder: Path, astronaut: np.ndarray
) -> None:
    sent = []
    for rate in ("high", "default", "low"):
        settings = {"weights": coded_weights_folder, "policy": "cloud", "rate": rate}
        settings["deadline_ms"] = PATIENT_MS
        with Recognizer(server.grpc, **settings) as recognizer:
            (face,) = recognizer.faces(astronaut)
        assert (face.path, face.rate) == (AnswerPath.CLOUD, rate)
        sent.append(face.sent_bytes)
    assert MAX_PAYLOAD_BYTES > sent[0] > sent[1] > sent[2]


def test_the_handshake_speaks_of_the_callers_weights(
    server: CloudProcess, coded_weights_folder: Path, old_weights_folder: Path
) -> None:
    stub = server.stub()
    for asked, told in (
        (old_weights_folder.name, old_weights_folder.name),
        (coded_weights_folder.name, coded_weights_folder.name),
        ("", coded_weights_folder.name),
        ("0" * 16, coded_weights_folder.name),
    ):
        model = stub.GetModel(pb.GetModelRequest(fingerprint=asked), timeout=30)
        assert model.fingerprint == told
        assert list(model.served) == [coded_weights_folder.name, old_weights_folder.name]
        assert ("entropy" in model.codecs) == (told == coded_weights_folder.name)
        assert "raw" in model.codecs


def test_pictures_are_answered_by_the_default(
    server: CloudProcess, coded_weights_folder: Path, old_weights_folder: Path
) -> None:
    reply = httpx.get(f"http://{server.http}/v1/model", trust_env=False).json()
    assert reply["fingerprint"] == coded_weights_folder.name
    assert reply["served"] == [coded_weights_folder.name, old_weights_folder.name]
