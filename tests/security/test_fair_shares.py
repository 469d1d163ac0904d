"""One caller at its limit takes no answer from another one: what it gets is its turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import pytest

from benchmarks.attack import messages as of
from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

HONEST, HOSTILE = "a-word-for-who-is-honest", "a-word-for-who-is-hostile"
PICTURE = Path("cloud_server/rest_api/page/example.jpg")
# Of the honest caller's, each of which must be answered.
CALLS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("config")
    lines = [
        token_line(name, token, [Scope.INFER, Scope.IMAGE])
        for name, token in (("honest", HONEST), ("hostile", HOSTILE))
    ]
    (folder / "tokens.yaml").write_text("\n".join(lines))
    config = folder / "cloud.yaml"
    config.write_text(f"tokens: {folder}/tokens.yaml\nqueue_max: 64\npictures_max: 6\n")
    with CloudProcess(default_folder(), "--config", str(config)) as server:
        yield server


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.mark.parametrize("deadline_s", [0.5, 20.0])
def test_faces(server: CloudProcess, deadline_s: float) -> None:
    """Frames of 32 faces, three times as many as may wait."""
    enough, busy = threading.Event(), threading.Event()
    full = pb.InferRequest(fingerprint=server.fingerprint, payloads=of.payloads(32))
    one = pb.InferRequest(fingerprint=server.fingerprint, payloads=of.payloads(1))

    def attack() -> None:
        with server.channel() as channel:
            infer = channel.unary_unary(
                of.INFER, pb.InferRequest.SerializeToString, pb.InferResponse.FromString
            )
            while not enough.is_set():
                with suppress(grpc.RpcError):
                    reply = infer(full, timeout=deadline_s, metadata=bearer(HOSTILE))
                    if any(result.error.code == "overloaded" for result in reply.results):
                        busy.set()

    attackers = [threading.Thread(target=attack) for _ in range(6)]
    for attacker in attackers:
        attacker.start()
    try:
        assert busy.wait(PATIENCE_S)
        with server.channel() as channel:
            infer = channel.unary_unary(
                of.INFER, pb.InferRequest.SerializeToString, pb.InferResponse.FromString
            )
            for _ in range(CALLS):
                reply = infer(one, timeout=PATIENCE_S, metadata=bearer(HONEST))
                assert [result.WhichOneof("result") for result in reply.results] == ["answer"]
    finally:
        enough.set()
        for attacker in attackers:
            attacker.join()


def test_pictures(server: CloudProcess) -> None:
    """Large pictures, three times as many as may wait."""
    enough, busy = threading.Event(), threading.Event()
    large, usual = of.large_picture(), PICTURE.read_bytes()

    def post(client: httpx.Client, token: str, picture: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
        return client.post(f"http://{server.http}/v1/faces", content=picture, headers=headers)

    def attack() -> None:
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            while not enough.is_set():
                if post(client, HOSTILE, large).status_code == 503:
                    busy.set()

    attackers = [threading.Thread(target=attack) for _ in range(12)]
    for attacker in attackers:
        attacker.start()
    try:
        assert busy.wait(PATIENCE_S)
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            for _ in range(CALLS):
                assert post(client, HONEST, usual).status_code == 200
    finally:
        enough.set()
        for attacker in attackers:
            attacker.join()


def test_a_jpeg_of_many_scans_is_refused(server: CloudProcess) -> None:
    headers = {"Authorization": f"Bearer {HOSTILE}", "Content-Type": "image/jpeg"}
    answer = httpx.post(
        f"http://{server.http}/v1/faces",
        content=of.many_scans(),
        headers=headers,
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 422
    assert "scans" in answer.json()["error"]["message"]
