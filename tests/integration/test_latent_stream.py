"""``/v1/latents/stream`` of a real server: what ``POST /v1/latents`` does, on a WebSocket."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import ssl
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from splitfer.cloud_server.admission.tokens import Scope, new_token, token_line
from splitfer.shared.codec.latent import Latent
from splitfer.shared.weights import Weights, default_folder
from tests.certificates import authority, certificate
from tests.integration.cloud_process import CloudProcess
from tests.integration.test_latents_route import framed
from tests.processes import wait_until

INFER, IMAGE = new_token(), new_token()
ORIGIN = "https://app.example"
TIMEOUT_S = 30


def config(folder: Path, **settings: Any) -> Path:
    file = folder / "cloud.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("config")
    lines = (token_line("door", INFER, [Scope.INFER]), token_line("yard", IMAGE, [Scope.IMAGE]))
    (folder / "tokens.yaml").write_text("\n".join(lines) + "\n")
    file = config(
        folder,
        tokens=folder / "tokens.yaml",
        cors_origins=f"[{ORIGIN}]",
        stream_in_flight=4,
        latent_streams_max=3,
    )
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        yield server


@pytest.fixture(scope="module")
def payloads() -> list[bytes]:
    weights = Weights(default_folder())
    return [weights.payload_codec.encode(Latent(one, 1)) for one in weights.golden.latents]


def message(number: int, *payloads: bytes, deadline_ms: int = 20_000, sent_ms: int = 0) -> bytes:
    return struct.pack(">IIQ", number, deadline_ms, sent_ms) + framed(payloads)


@contextlib.contextmanager
def stream(
    server: CloudProcess,
    token: str | None = INFER,
    query: str | None = None,
    scheme: str = "ws",
    **more: Any,
) -> Iterator[ClientConnection]:
    """An open one."""
    query = f"fingerprint={server.fingerprint}" if query is None else query
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with connect(
        f"{scheme}://{server.http}/v1/latents/stream?{query}",
        proxy=None,
        compression=None,
        open_timeout=TIMEOUT_S,
        **{"additional_headers": headers, **more},
    ) as opened:
        yield opened


def replies(opened: ClientConnection, count: int) -> dict[int, dict[str, Any]]:
    found = [json.loads(opened.recv(TIMEOUT_S)) for _ in range(count)]
    return {one["id"]: one for one in found}


def refusal(server: CloudProcess, **how: Any) -> tuple[int, str]:
    """Status and code of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as raised, stream(server, **how):
        pass
    response = raised.value.response
    assert response.headers["x-content-type-options"] == "nosniff"
    return response.status_code, json.loads(response.body or b"")["error"]["code"]


def test_it_answers_as_the_route_does(server: CloudProcess, payloads: list[bytes]) -> None:
    asked = [*payloads, b"\x02no payload"]
    expected = httpx.post(
        f"http://{server.http}/v1/latents",
        content=framed(asked),
        timeout=60,
        trust_env=False,
        headers={"X-SplitFER-Fingerprint": server.fingerprint, "Authorization": f"Bearer {INFER}"},
    ).json()
    with stream(server) as opened:
        opened.send(message(7, *asked))
        opened.send(message(2**32 - 1))
        found = replies(opened, 2)
    reply = found[7]
    assert found[2**32 - 1]["faces"] == []
    assert reply.keys() == expected.keys() | {"id"}
    assert reply["faces"][-1] == expected["faces"][-1]
    checksum = zlib.crc32(b"".join(asked))
    for face, other in zip(reply["faces"][:-1], expected["faces"][:-1], strict=True):
        assert face["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
        assert (face["model"], face["labels"]) == (other["model"], other["labels"])
        checksum = zlib.crc32(struct.pack("<7f", *face["probabilities"].values()), checksum)
        checksum = zlib.crc32(face["model"].encode(), checksum)
    assert reply["checksum"] == zlib.crc32(b"malformed_payload", checksum)


def test_tail_and_labels_are_of_the_connection(server: CloudProcess, payloads: list[bytes]) -> None:
    query = f"fingerprint={server.fingerprint}&tail=paper&labels=fer2013"
    with stream(server, query=query) as opened:
        opened.send(message(1, payloads[0]))
        (face,) = replies(opened, 1)[1]["faces"]
    assert (face["model"], face["labels"]) == (f"{server.fingerprint}/paper", "fer2013")


def test_an_error_is_of_its_message_and_the_connection_goes_on(
    server: CloudProcess, payloads: list[bytes]
) -> None:
    with stream(server) as opened:
        opened.send(message(1, *[b""] * 33))
        opened.send(message(2, payloads[0])[:-1])
        opened.send(message(3, payloads[0], deadline_ms=2**32 - 1))
        opened.send(message(4, payloads[0]))
        found = replies(opened, 4)
        start_ms = 10**6  # of a clock that is not the server's
        opened.send(message(5, payloads[0], sent_ms=start_ms))
        assert "faces" in replies(opened, 1)[5]
        opened.send(message(6, payloads[0], sent_ms=start_ms - 30_000))
        found |= replies(opened, 1)
    codes = {number: one.get("error", {}).get("code") for number, one in found.items()}
    assert codes == {
        1: "too_large",
        2: "malformed_payload",
        3: "malformed_payload",
        4: None,
        6: "deadline",
    }
    assert set(found[1]["error"]) == {"code", "message", "retryable"}
    with stream(server, query=f"fingerprint={'0' * 16}") as opened:
        opened.send(message(1, payloads[0]))
        assert replies(opened, 1)[1]["error"]["code"] == "model_mismatch"


def test_far_more_than_may_be_in_flight_is_answered_in_the_end(
    server: CloudProcess, payloads: list[bytes]
) -> None:
    with stream(server) as opened:
        for number in range(100):
            opened.send(message(number, payloads[number % len(payloads)]))
        assert set(replies(opened, 100)) == set(range(100))


def test_a_browser_sends_its_token_as_a_subprotocol(
    server: CloudProcess, payloads: list[bytes]
) -> None:
    packed = base64.urlsafe_b64encode(INFER.encode()).decode().rstrip("=")
    words = ["splitfer.latents", f"splitfer.token.{packed}"]
    with stream(server, None, subprotocols=words) as opened:
        assert opened.subprotocol == "splitfer.latents"  # never the token
        opened.send(message(1, payloads[0]))
        assert "faces" in replies(opened, 1)[1]
    for bad in ("splitfer.token.A", "splitfer.token._w", "splitfer.token.", "other"):
        how: dict[str, Any] = {"token": None, "subprotocols": ["splitfer.latents", bad]}
        assert refusal(server, **how) == (401, "unauthorised")


def test_who_may_not_ask_is_refused_before_it_is_a_websocket(server: CloudProcess) -> None:
    assert refusal(server, token=None) == (401, "unauthorised")
    assert refusal(server, token="nobody") == (401, "unauthorised")
    assert refusal(server, token=IMAGE) == (403, "forbidden")
    assert refusal(server, query="") == (400, "malformed_payload")
    query = f"fingerprint={server.fingerprint}&labels=mine"
    assert refusal(server, query=query) == (400, "malformed_payload")


def test_pages_of_other_origins_may_not_ask(server: CloudProcess) -> None:
    for origin in ("https://evil.example", "null", "http://"):
        assert refusal(server, origin=origin) == (403, "forbidden")
    for origin in (ORIGIN, f"http://{server.http}"):
        with stream(server, origin=origin):
            pass


def test_connections_are_counted(server: CloudProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(stream(server))
        assert refusal(server) == (503, "overloaded")

    def free() -> bool:
        with contextlib.suppress(InvalidStatus), stream(server):
            return True
        return False

    wait_until(free, "a place")


def test_what_is_no_message_ends_the_connection(server: CloudProcess) -> None:
    for bad in ("words", b"", b"too short"):
        with stream(server) as opened:
            opened.send(bad)
            with pytest.raises(ConnectionClosed) as raised:
                opened.recv(TIMEOUT_S)
            assert raised.value.rcvd is not None
            assert raised.value.rcvd.code == 1003


def test_a_stop_answers_what_was_read_and_ends_well(tmp_path: Path, payloads: list[bytes]) -> None:
    with CloudProcess(default_folder()) as server, stream(server) as opened:
        opened.send(message(1, payloads[0]))
        assert "faces" in replies(opened, 1)[1]
        server.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as raised:
            opened.recv(TIMEOUT_S)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1001
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def test_it_can_be_off_and_silence_ends_it(tmp_path: Path) -> None:
    off = config(tmp_path, latent_streams_max=0)
    with CloudProcess(default_folder(), "--config", str(off)) as server:
        with pytest.raises(InvalidStatus) as raised, stream(server):
            pass
        assert raised.value.response.status_code == 404
    quiet = config(tmp_path, keep_alive_s=0.5)
    with (
        CloudProcess(default_folder(), "--config", str(quiet)) as server,
        stream(server) as opened,
    ):
        with pytest.raises(ConnectionClosed) as ended:
            opened.recv(TIMEOUT_S)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1000, "idle")


def test_with_tls(tmp_path: Path, payloads: list[bytes]) -> None:
    authority(tmp_path, "ca")
    certificate(tmp_path, "server", "ca")
    file = config(tmp_path, tls_cert=tmp_path / "server.pem", tls_key=tmp_path / "server.key")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        how: dict[str, Any] = {"ssl": trusted, "origin": f"https://{server.http}"}
        with stream(server, None, scheme="wss", **how) as opened:
            opened.send(message(1, payloads[0]))
            assert "faces" in replies(opened, 1)[1]


def test_it_is_described(server: CloudProcess) -> None:
    document = httpx.get(f"http://{server.http}/openapi.json", trust_env=False).json()
    assert "/v1/latents/stream" in document["paths"]["/v1/latents"]["post"]["description"]
