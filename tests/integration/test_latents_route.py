"""``POST /v1/latents`` of a real server: what gRPC's ``Infer`` does, over HTTP."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import httpx
import pytest

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.shared.codec.latent import Latent
from splitfer.shared.labels import LABELS
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import Weights, default_folder
from tests.integration.cloud_process import CloudProcess

INFER, IMAGE = new_token(), new_token()
FINGERPRINT, DEADLINE = "X-SplitFER-Fingerprint", "X-SplitFER-Deadline-Ms"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("config")
    lines = (token_line("door", INFER, [Scope.INFER]), token_line("yard", IMAGE, [Scope.IMAGE]))
    (folder / "tokens.yaml").write_text("\n".join(lines) + "\n")
    (folder / "cloud.yaml").write_text(
        f"tokens: {folder / 'tokens.yaml'}\ncors_origins: [https://app.example]\n"
    )
    with CloudProcess(default_folder(), "--config", str(folder / "cloud.yaml")) as server:
        yield server


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    weights = Weights(default_folder())
    return [weights.payload_codec.encode(Latent(one, 1)) for one in weights.golden.latents]


def post(
    server: CloudProcess,
    body: bytes,
    headers: dict[str, str] | None = None,
    token: str = INFER,
    query: str = "",
) -> httpx.Response:
    given = {FINGERPRINT: server.fingerprint, "Authorization": f"Bearer {token}"}
    return httpx.post(
        f"http://{server.http}/v1/latents{query}",
        content=body,
        timeout=60,
        trust_env=False,
        headers=given | (headers or {}),
    )


def framed(payloads: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(one)) + one for one in payloads)


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_it_answers_as_grpc_does(server: CloudProcess, payloads: list[bytes]) -> None:
    asked = [*payloads, b"\x02no payload"]
    body = post(server, framed(asked)).json()
    with server.channel() as channel:
        reply = pb_grpc.SplitFerStub(channel).Infer(
            pb.InferRequest(fingerprint=server.fingerprint, payloads=asked),
            metadata=(("authorization", f"Bearer {INFER}"),),
            timeout=60,
        )
    for face, result in zip(body["faces"][:-1], reply.results[:-1], strict=True):
        assert tuple(face["probabilities"]) == LABELS
        assert list(face["probabilities"].values()) == pytest.approx(
            list(result.answer.probabilities), abs=1e-5
        )
        assert face["label"] == max(face["probabilities"], key=face["probabilities"].get)
        assert (face["model"], face["labels"]) == (result.answer.model, result.answer.labels)
    # One bad payload fails alone, with the same words.
    error = reply.results[-1].error
    assert body["faces"][-1] == {
        "error": {"code": error.code, "message": error.message, "retryable": error.retryable}
    }
    assert 0 < body["latency_ms"]["tail"] <= body["latency_ms"]["total"]

    checksum = zlib.crc32(b"".join(asked))
    for face in body["faces"][:-1]:
        checksum = zlib.crc32(struct.pack("<7f", *face["probabilities"].values()), checksum)
        checksum = zlib.crc32(face["model"].encode(), checksum)
    assert body["checksum"] == zlib.crc32(error.code.encode(), checksum)


def test_tail_labels_and_no_faces(server: CloudProcess, payloads: list[bytes]) -> None:
    body = post(server, framed(payloads[:1]), query="?tail=paper&labels=fer2013").json()
    assert body["faces"][0]["model"] == f"{server.fingerprint}/paper"
    assert body["faces"][0]["labels"] == "fer2013"
    assert post(server, b"").json()["faces"] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({FINGERPRINT: "0" * 16}, (409, "model_mismatch")),
        ({DEADLINE: "0"}, (422, "bad_request")),
        ({DEADLINE: "soon"}, (422, "bad_request")),
        ({"Authorization": "Bearer nobody"}, (401, "unauthorised")),
        ({"Authorization": f"Bearer {IMAGE}"}, (403, "forbidden")),
    ],
)
def test_refused_headers(
    server: CloudProcess, payloads: list[bytes], change: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code_of(post(server, framed(payloads), change)) == expected


def test_refused_bodies(server: CloudProcess, payloads: list[bytes]) -> None:
    whole = framed(payloads)
    assert code_of(post(server, whole[:-1])) == (400, "malformed_payload")
    assert code_of(post(server, whole + b"\x01")) == (400, "malformed_payload")
    assert "payload 2" in post(server, whole + b"\x01").json()["error"]["message"]
    assert code_of(post(server, framed([b""] * 33))) == (413, "too_large")
    assert code_of(post(server, bytes(300_000))) == (413, "too_large")
    assert code_of(post(server, whole, query="?labels=mine")) == (422, "bad_request")
    nameless = post(server, whole, {FINGERPRINT: ""})
    assert code_of(nameless) == (400, "malformed_payload")
    assert FINGERPRINT in nameless.json()["error"]["message"]


def test_a_page_of_a_named_origin_may_ask(server: CloudProcess) -> None:
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": f"{FINGERPRINT}, {DEADLINE}, authorization",
    }
    reply = httpx.options(f"http://{server.http}/v1/latents", headers=headers, trust_env=False)
    assert reply.status_code == 200
    assert FINGERPRINT.lower() in reply.headers["access-control-allow-headers"].lower()


def test_it_is_described(server: CloudProcess) -> None:
    document = httpx.get(f"http://{server.http}/openapi.json", trust_env=False).json()
    post = document["paths"]["/v1/latents"]["post"]
    assert "application/octet-stream" in post["requestBody"]["content"]
    assert {FINGERPRINT, DEADLINE} <= {one["name"] for one in post["parameters"]}
