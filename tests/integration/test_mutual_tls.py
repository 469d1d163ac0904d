"""Mutual TLS on both protocols: who shows no certificate, or a stranger's, is not heard."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from splitfer.edge_client.link.channel import open_channel
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from tests.certificates import authority, certificate
from tests.integration.cloud_process import PATIENCE_S, CloudProcess


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for ca in ("ca", "strange-ca"):
        authority(folder, ca)
    certificate(folder, "server", "ca")
    certificate(folder, "edge", "ca")
    certificate(folder, "stranger", "strange-ca")
    return folder


@pytest.fixture(scope="module")
def server(old_weights_folder: Path, folder: Path) -> Iterator[CloudProcess]:
    file = folder / "cloud.yaml"
    file.write_text(
        f"tls_cert: {folder / 'server.pem'}\ntls_key: {folder / 'server.key'}\n"
        f"tls_client_ca: {folder / 'ca.pem'}\n"
    )
    with CloudProcess(old_weights_folder, "--config", str(file)) as server:
        yield server


def ask_rest(server: CloudProcess, folder: Path, name: str | None) -> int:
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        trust.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    with httpx.Client(verify=trust, trust_env=False, timeout=PATIENCE_S) as client:
        return client.get(f"https://{server.http}/v1/model").status_code


def ask_grpc(server: CloudProcess, folder: Path, name: str | None) -> str:
    own = [(folder / f"{name}.{kind}").read_bytes() if name else None for kind in ("pem", "key")]
    with open_channel(server.grpc, (folder / "ca.pem").read_bytes(), *own) as channel:
        stub = pb_grpc.SplitFerStub(channel)
        return stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).fingerprint


def test_a_certificate_of_ours_is_let_in(server: CloudProcess, folder: Path) -> None:
    assert ask_rest(server, folder, "edge") == 200
    assert ask_grpc(server, folder, "edge") == server.fingerprint


@pytest.mark.parametrize("name", [None, "stranger"])
def test_others_are_not_heard(server: CloudProcess, folder: Path, name: str | None) -> None:
    with pytest.raises(httpx.TransportError):
        ask_rest(server, folder, name)
    with pytest.raises(grpc.RpcError) as raised:
        ask_grpc(server, folder, name)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "Traceback" not in server.log
