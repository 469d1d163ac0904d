"""The REST API of a real server, as a client with an HTTP library or a bare socket sees it."""

import contextlib
import gzip
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splitfer.shared.contracts import REPLY_VERSION
from splitfer.shared.labels import LABELS
from splitfer.shared.prior import UNCERTAIN_BELOW
from tests.integration.cloud_process import CloudProcess
from tests.unit.cloud_server.pictures.made_pictures import BAD, encoded, grey

BODY_BYTES = 1_000_000
STATUS = {"bad_picture": 422, "unsupported_picture": 415, "too_large": 413}


@pytest.fixture(scope="module")
def server(
    weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("config") / "cloud.toml"
    file.write_text(
        f'cors_origins = ["https://app.example"]\n[limits]\nbody_bytes = {BODY_BYTES}\n'
    )
    with CloudProcess(weights_folder, "--config", str(file)) as server:
        yield server


@pytest.fixture
def client(server: CloudProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.http}", timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> bytes:
    return encoded(astronaut, "PNG")


def post(client: httpx.Client, picture: Any, kind: str | None = "image/jpeg") -> httpx.Response:
    return client.post("/v1/faces", content=picture, headers={"Content-Type": kind} if kind else {})


def error_of(response: httpx.Response) -> tuple[int, str]:
    """The status and our code; the body has the one shape of every error."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "retryable"}
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


def bare(server: CloudProcess, request: bytes) -> bytes:
    """What comes back for bytes that no library would send; stops at the end of the reply."""
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        reply = b""
        while (part := connection.recv(65536)) or not reply:
            reply += part
            if b'"retryable"' in reply:
                break
        return reply


def test_a_raw_body(client: httpx.Client, server: CloudProcess, portrait: bytes) -> None:
    response = post(client, portrait)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["schema_version", "width", "height", "faces", "latency_ms"]
    assert (body["schema_version"], body["width"], body["height"]) == (REPLY_VERSION, 512, 512)
    (face,) = body["faces"]
    assert list(face) == [
        "box", "label", "confidence", "probabilities", "model", "labels", "prior", "quality",
        "uncertain",
    ]  # fmt: skip
    assert 150 < face["box"][0] < 230
    assert tuple(face["probabilities"]) == LABELS
    assert face["label"] == max(face["probabilities"], key=face["probabilities"].get)
    # These weights do not say how common the labels were: all alike.
    share, quality = face["probabilities"][face["label"]], face["quality"]
    assert face["confidence"] == pytest.approx(1 / 7 + quality * (share - 1 / 7), abs=1e-3)
    assert 0.8 < quality <= 1
    assert face["uncertain"] is (face["confidence"] < UNCERTAIN_BELOW)
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert face["model"] == f"{server.fingerprint}/local"
    times = body["latency_ms"]
    assert list(times) == ["detect", "head", "encode", "link", "tail", "total"]
    assert times["encode"] is times["link"] is None
    assert times["total"] >= times["detect"] > 0


@pytest.mark.parametrize(
    "kind",
    [None, "application/octet-stream", "application/x-www-form-urlencoded", "IMAGE/JPEG; x=y"],
)
def test_other_raw_types(client: httpx.Client, portrait: bytes, kind: str | None) -> None:
    assert post(client, portrait, kind).status_code == 200


def test_a_multipart_body_says_the_same(client: httpx.Client, portrait: bytes) -> None:
    parts = {"picture": ("a.jpg", portrait, "image/jpeg")}
    response = client.post("/v1/faces", files=parts, data={"note": "x"})
    assert response.status_code == 200
    assert response.json()["faces"] == post(client, portrait).json()["faces"]


def test_no_face_is_a_result(client: httpx.Client) -> None:
    response = post(client, encoded(grey(200), "PNG"))
    assert response.status_code == 200
    assert response.json()["faces"] == []
    assert response.json()["latency_ms"]["head"] is None


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures(client: httpx.Client, name: str, portrait: bytes) -> None:
    data, code = BAD[name]
    assert error_of(post(client, data)) == (STATUS[code], code)
    assert post(client, portrait).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", b"{}", 415, "unsupported_picture"),
        ("application/x-www-form-urlencoded", b"a=b", 415, "unsupported_picture"),
        ("multipart/form-data", b"x", 400, "malformed_payload"),
        ("multipart/form-data; boundary=b", b"x", 400, "malformed_payload"),
        ("multipart/form-data; boundary=b", b"", 400, "malformed_payload"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--b--',
            400,
            "malformed_payload",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\nx\r\n--b--',
            400,
            "malformed_payload",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n\r\n--b--',
            422,
            "bad_picture",
        ),
    ],
)
def test_bodies_that_hold_no_picture(
    client: httpx.Client, kind: str, body: bytes, status: int, code: str
) -> None:
    assert error_of(post(client, body, kind)) == (status, code)


def test_a_part_without_a_filename_is_told_what_it_lacks(client: httpx.Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\nx\r\n--b--'
    reply = post(client, body, "multipart/form-data; boundary=b")
    assert "the part 'picture' has no filename" in reply.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: CloudProcess) -> None:
    head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES + 1}\r\n"
    reply = bare(server, head.encode() + b"Expect: 100-continue\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")  # not 100 Continue, and no byte of it was sent
    assert b'"too_large"' in reply


def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(server: CloudProcess) -> None:
    head = b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    # The last chunk never comes.
    body = b"%x\r\n%s\r\n" % (BODY_BYTES + 1, bytes(BODY_BYTES + 1))
    assert bare(server, head + body).startswith(b"HTTP/1.1 413 ")


def test_a_refused_body_ends_the_connection(server: CloudProcess) -> None:
    host, port = server.http.split(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while sent < 100 * 2**20:
                sent += connection.send(bytes(2**20))
        # It was read before the connection broke.
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert sent < 20 * 2**20  # what the kernel's buffers hold


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/", "/v2"]
)
def test_head_is_get_without_its_body(client: httpx.Client, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert asked.headers["content-type"] == got.headers["content-type"]


def test_packed_bodies_are_read_on_every_route(client: httpx.Client, portrait: bytes) -> None:
    gzip_, deflate = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}
    for packed, headers in (
        (gzip.compress(portrait), gzip_),
        (zlib.compress(portrait), deflate),
        (portrait, {"Content-Encoding": "identity"}),
    ):
        answer = client.post("/v1/faces", content=packed, headers=headers)
        assert (answer.status_code, len(answer.json()["faces"])) == (200, 1)
    bomb = gzip.compress(bytes(100 * BODY_BYTES))
    assert error_of(client.post("/v1/faces", content=bomb, headers=gzip_)) == (413, "too_large")
    for body in (portrait, gzip.compress(portrait)[:-10]):
        refused = client.post("/v1/faces", content=body, headers=gzip_)
        assert error_of(refused) == (400, "malformed_payload")
    refused = client.post("/v1/faces", content=portrait, headers={"Content-Encoding": "br"})
    assert error_of(refused) == (400, "malformed_payload")
    # Who may not ask is not read.
    json_type = {"Content-Type": "application/json"}
    packed = gzip.compress(b'{"folder": "x"}')
    refused = client.post("/v1/admin/models", content=packed, headers=gzip_ | json_type)
    assert error_of(refused) == (403, "forbidden")


def test_pages_of_other_origins(client: httpx.Client) -> None:
    ours = {"Origin": "https://app.example"}
    ask = {"Access-Control-Request-Method": "POST"}
    ask["Access-Control-Request-Headers"] = "authorization,x-splitfer-deadline-ms"
    told = client.options("/v1/faces", headers=ours | ask)
    assert told.status_code == 200
    assert told.headers["access-control-allow-origin"] == "https://app.example"
    refused = client.post("/v1/faces", headers=ours)
    assert error_of(refused) == (422, "bad_picture")
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert len(refused.headers.get_list("x-request-id", split_commas=True)) == 1
    other = {"Origin": "https://other.example"}
    assert error_of(client.options("/v1/faces", headers=other | ask)) == (400, "forbidden")
    assert "access-control-allow-origin" not in client.get("/healthz", headers=other).headers


def test_the_limit_is_the_pictures_also_in_multipart(client: httpx.Client) -> None:
    for size, answer in (
        (BODY_BYTES, (415, "unsupported_picture")),
        (BODY_BYTES + 1, (413, "too_large")),
    ):
        assert error_of(client.post("/v1/faces", files={"picture": ("a", bytes(size))})) == answer
        assert error_of(post(client, bytes(size))) == answer


def test_a_caller_that_hangs_up_midway_disturbs_nobody(
    server: CloudProcess, client: httpx.Client, portrait: bytes
) -> None:
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(portrait)}\r\n\r\n"
        connection.sendall(head.encode() + portrait[:1000])
    assert post(client, portrait).status_code == 200
    assert "Traceback" not in server.log


def test_deadlines(client: httpx.Client, server: CloudProcess, portrait: bytes) -> None:
    header = "X-SplitFER-Deadline-Ms"

    def ask(value: str) -> httpx.Response:
        return client.post("/v1/faces", content=portrait, headers={header: value})

    assert ask("60000").status_code == 200
    assert error_of(ask("0.001")) == (504, "deadline")
    for wrong in ("soon", "0", "-1", "nan", "inf"):
        response = ask(wrong)
        assert error_of(response) == (422, "bad_request")
        assert header in response.json()["error"]["message"]
    # A body that does not come does not hold the request.
    head = b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n%s: 50\r\n\r\n"
    assert bare(server, head % header.encode()).startswith(b"HTTP/1.1 504 ")


def test_tails(client: httpx.Client, portrait: bytes) -> None:
    assert client.post("/v1/faces?tail=cloud", content=portrait).status_code == 200
    assert error_of(client.post("/v1/faces?tail=best", content=portrait)) == (409, "model_mismatch")


def test_what_the_framework_refuses_looks_the_same(client: httpx.Client) -> None:
    assert error_of(client.get("/nothing")) == (404, "not_found")
    response = client.get("/v1/faces")
    assert error_of(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_model_and_health(client: httpx.Client, server: CloudProcess) -> None:
    model = client.get("/v1/model").json()
    assert model["fingerprint"] == server.fingerprint
    assert tuple(model["labels"]) == LABELS
    assert model["tails"] == ["cloud"]
    assert model["limits"]["body_bytes"] == BODY_BYTES
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_the_documentation_tells_bodies_and_errors(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200
    document = client.get("/openapi.json").json()
    faces = document["paths"]["/v1/faces"]["post"]
    assert "image/jpeg" in faces["requestBody"]["content"]
    assert "multipart/form-data" in faces["requestBody"]["content"]
    assert set(faces["responses"]) == {
        "200", "400", "401", "403", "409", "413", "415", "422", "429", "500",
        "503", "504",
    }  # fmt: skip
    for status, response in faces["responses"].items():
        schema = response["content"]["application/json"]["schema"]["$ref"]
        assert schema.endswith("FacesBody" if status == "200" else "ErrorBody")
    assert "HTTPValidationError" not in document["components"]["schemas"]
