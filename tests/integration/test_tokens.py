"""Tokens, scopes, limits and their reload on a real server at debug level, whose log is then
searched for what must not be in it."""

import os
import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded, grey

# What a person might find in a log: of a token, of a picture's text, of a name of a file.
SETTING, DOOR, YARD, LATER = "s3cret-of-the-setting", new_token(), new_token(), new_token()
IN_THE_PICTURE = "Elsewhere-Street-7"
SYMBOLS = np.random.default_rng(1).integers(113, 144, (8, 28, 28), dtype=np.uint8)
PAYLOAD = PayloadCodec(None, 1).encode(Latent(SYMBOLS, 0))
SLOW = "{requests_per_s: 0.001, burst: 2}"


def door_and_yard(limits: str = "{}") -> str:
    door = token_line("door", DOOR, [Scope.INFER])
    yard = token_line("yard", YARD, [Scope.IMAGE]).replace("}", f", limits: {limits}}}")
    return f"{door}\n{yard}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "tokens.yaml").write_text(door_and_yard(SLOW))
    (folder / "cloud.yaml").write_text(
        f"token: {SETTING}\ntokens: {folder / 'tokens.yaml'}\nlog_level: debug\n"
    )
    return folder


@pytest.fixture(scope="module")
def server(old_weights_folder: Path, folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(old_weights_folder, "--config", str(folder / "cloud.yaml")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: CloudProcess) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{server.http}", timeout=PATIENCE_S, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="module")
def channel(server: CloudProcess) -> Iterator[grpc.Channel]:
    with server.channel() as channel:
        yield channel


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def infer(server: CloudProcess, channel: grpc.Channel, token: str) -> str:
    """How an ``Infer`` ends, and our code."""
    call = channel.unary_unary(
        "/splitfer.v1.SplitFer/Infer",
        request_serializer=pb.InferRequest.SerializeToString,
        response_deserializer=pb.InferResponse.FromString,
    )
    request = pb.InferRequest(fingerprint=server.fingerprint, payloads=[PAYLOAD])
    try:
        call(request, metadata=tuple(bearer(token).items()), timeout=PATIENCE_S)
    except grpc.RpcError as error:
        code = dict(error.trailing_metadata())["splitfer-code"]
        return f"{error.code().name} {code}"
    return "OK"


def reload(server: CloudProcess, says: str) -> str:
    """Reload and wait for the line that says how it went."""
    before = len(re.findall(says, server.log))
    server.signal(signal.SIGHUP)
    wait_until(lambda: len(re.findall(says, server.log)) > before, says)
    return [line for line in server.log.splitlines() if re.search(says, line)][-1]


def test_scopes(server: CloudProcess, client: httpx.Client, channel: grpc.Channel) -> None:
    picture = encoded(grey(100))
    post = "/v1/faces"
    assert infer(server, channel, DOOR) == "OK"
    assert infer(server, channel, SETTING) == "OK"
    assert infer(server, channel, YARD) == "PERMISSION_DENIED forbidden"
    assert infer(server, channel, LATER) == "UNAUTHENTICATED unauthorised"
    assert client.post(post, content=picture, headers=bearer(YARD)).status_code == 200
    refused = client.post(post, content=picture, headers=bearer(DOOR))
    assert error_of(refused) == (403, "forbidden")
    assert "www-authenticate" not in refused.headers
    refused = client.post(post, content=picture, headers=bearer(LATER))
    assert error_of(refused) == (401, "unauthorised")
    assert refused.headers["www-authenticate"] == "Bearer"
    for token in (DOOR, SETTING):
        assert client.get("/v1/model", headers=bearer(token)).status_code == 200
    assert "splitfer_requests_total" in client.get("/metrics", headers=bearer(SETTING)).text
    assert error_of(client.get("/metrics", headers=bearer(DOOR))) == (403, "forbidden")
    assert error_of(client.get("/metrics")) == (401, "unauthorised")
    assert client.get("/healthz").status_code == 200
    admin = client.get("/v1/admin/models", headers=bearer(DOOR))
    assert error_of(admin) == (403, "forbidden")


def test_a_caller_that_asks_too_often(client: httpx.Client) -> None:
    # One of its two was spent above, or none where this test runs alone.
    answers = [client.get("/v1/model", headers=bearer(YARD)) for _ in range(3)]
    assert answers[0].status_code == 200
    assert error_of(answers[-1]) == (429, "overloaded")
    assert answers[-1].json()["error"]["retryable"] is True
    assert int(answers[-1].headers["retry-after"]) > 1
    assert client.get("/v1/model", headers=bearer(DOOR)).status_code == 200


def test_a_reload(
    server: CloudProcess, client: httpx.Client, channel: grpc.Channel, folder: Path
) -> None:
    tokens, picture = folder / "tokens.yaml", encoded(grey(100))
    tokens.write_text(door_and_yard("{concurrent: 1}"))
    reload(server, "reloaded the tokens")
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as upload:
        head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(picture)}\r\n"
        head += f"Authorization: Bearer {YARD}\r\nExpect: 100-continue\r\n\r\n"
        upload.sendall(head.encode())
        assert upload.recv(100).startswith(b"HTTP/1.1 100 ")
        assert error_of(client.get("/v1/model", headers=bearer(YARD))) == (429, "overloaded")

        # While that picture is under way: its token goes, another one comes.
        tokens.write_text(token_line("later", LATER, [Scope.INFER]))
        reload(server, "names: later, token")
        assert infer(server, channel, LATER) == "OK"
        assert infer(server, channel, DOOR) == "UNAUTHENTICATED unauthorised"
        assert client.get("/v1/model", headers=bearer(YARD)).status_code == 401
        upload.sendall(picture)
        assert upload.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("broken", ["tokens.yaml", "cloud.yaml"])
def test_a_broken_file_changes_nothing(
    server: CloudProcess, channel: grpc.Channel, folder: Path, broken: str
) -> None:
    file = folder / broken
    good = file.read_text()
    (folder / "tokens.yaml").write_text(token_line("later", LATER, [Scope.INFER]))
    reload(server, "reloaded the tokens")
    before = len(server.log.splitlines())
    file.write_text(f'{good}\ntoken: "{SETTING}\n')
    try:
        assert broken in reload(server, "nothing was reloaded: ")
        assert len(server.log.splitlines()) == before + 1
        assert infer(server, channel, LATER) == "OK"
    finally:
        file.write_text(good)


def test_what_takes_a_restart_is_named(server: CloudProcess, folder: Path) -> None:
    file = folder / "cloud.yaml"
    good = file.read_text()
    file.write_text(good + "batch_max: 3\n")
    try:
        assert reload(server, "after a restart only").endswith(": batch_max")
    finally:
        file.write_text(good)


def test_no_secret_and_no_picture_is_logged_or_stored(
    server: CloudProcess, client: httpx.Client, channel: grpc.Channel, tmp_path: Path
) -> None:
    # From here on the server could write no picture to a disk: not one of this size.
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (2**16, 2**16))
    exif = Image.Exif()
    exif[0x010E] = IN_THE_PICTURE  # ImageDescription
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    picture = encoded(noise, "JPEG", exif=exif, quality=95)
    assert len(picture) > 2**17
    parts = {"picture": (f"{IN_THE_PICTURE}.jpg", picture, "image/jpeg")}
    sent = (
        client.post("/v1/faces", content=picture, headers=bearer(SETTING)),
        client.post("/v1/faces", files=parts, headers=bearer(SETTING)),
    )
    assert [response.status_code for response in sent] == [200, 200]
    client.post("/v1/faces", files=parts, headers=bearer("wrong-" + SETTING))
    client.get("/v1/model", headers={"authorization": f"Basic {SETTING}"})
    client.post("/v1/faces", content=picture[:-9000], headers=bearer(SETTING))
    assert infer(server, channel, SETTING) == "OK"
    assert infer(server, channel, "wrong-" + SETTING) == "UNAUTHENTICATED unauthorised"
    os.kill(server.pid, signal.SIGTERM)
    assert server.exit_code() == 0
    log = server.log
    assert "DEBUG" in log
    for secret in (SETTING, DOOR, YARD, LATER, IN_THE_PICTURE):
        assert secret not in log
    for bytes_of in (picture[1000:1020], PAYLOAD[20:40]):
        assert repr(bytes_of)[2:-1] not in log
        assert bytes_of.hex() not in log
