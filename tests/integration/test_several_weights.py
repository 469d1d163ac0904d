"""A server with the weights of today and the first ones, and edges with either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.codec.payload import MAX_PAYLOAD_BYTES
from splitfer.shared.contracts import AnswerPath, Reason
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


FORKED = """
import os, signal, sys
from splitfer import Recognizer
server, weights, picture = sys.argv[1:]
recognizer = Recognizer(server, weights=weights, policy="cloud", deadline_ms=60_000)
told = lambda: print(*((face.path.value, face.reason) for face in recognizer.faces(picture)))
told()
sys.stdout.flush()
if child := os.fork():
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status))
    told()
    recognizer.close()
else:
    signal.alarm(30)
    told()
    print(recognizer.server_away, recognizer.link_report()["state"])
    recognizer.close()
    sys.stdout.flush()
    os._exit(0)
"""


def test_a_process_that_is_forked_off_answers_alone_and_at_once(
    server: CloudProcess, coded_weights_folder: Path, astronaut: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(astronaut[:300]).save(tmp_path / "portrait.png")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, server.grpc, str(coded_weights_folder),
         str(tmp_path / "portrait.png")],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "('cloud', None)",
        f"('local', {Reason.LINK_DOWN!r})",
        "True open",
        "child 0",
        "('cloud', None)",
    ], done.stderr


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
