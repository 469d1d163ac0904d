"""Certificates of a running server: told of before they end, replaced without a restart."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from splitfer.edge_client.link.channel import open_channel
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from tests.certificates import authority, certificate
from tests.integration.cloud_process import PATIENCE_S, CloudProcess, clean_environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("old", "new"):
        authority(tmp_path, f"{name}-ca")
        certificate(tmp_path, f"{name}-server", f"{name}-ca", days=2 if name == "old" else 60)
        certificate(tmp_path, f"{name}-edge", f"{name}-ca")
    put(tmp_path, "old")
    (tmp_path / "cloud.yaml").write_text(
        f"tls_cert: {tmp_path / 'server.pem'}\ntls_key: {tmp_path / 'server.key'}\n"
        f"tls_client_ca: {tmp_path / 'ca.pem'}\npid_file: {tmp_path / 'pid'}\n"
    )
    return tmp_path


@pytest.fixture
def server(old_weights_folder: Path, folder: Path) -> Iterator[CloudProcess]:
    config = ("--config", str(folder / "cloud.yaml"))
    with CloudProcess(old_weights_folder, *config, fresh=True) as server:
        yield server


def put(folder: Path, name: str) -> None:
    """Let the files that the settings name be the old or the new ones."""
    for source, target in (("server.pem",) * 2, ("server.key",) * 2, ("ca.pem",) * 2):
        shutil.copy(folder / f"{name}-{source}", folder / target)


def taken(server: CloudProcess, folder: Path, ca: str, edge: str) -> tuple[bool, bool]:
    """Whether a device that trusts ``ca`` and shows ``edge`` can use REST, and gRPC."""
    trust = ssl.create_default_context(cafile=str(folder / f"{ca}-ca.pem"))
    trust.load_cert_chain(folder / f"{edge}-edge.pem", folder / f"{edge}-edge.key")
    rest = rpc = False
    with (
        contextlib.suppress(httpx.TransportError),
        httpx.Client(verify=trust, trust_env=False, timeout=PATIENCE_S) as client,
    ):
        rest = client.get(f"https://{server.http}/v1/model").status_code == 200
    pems = [(folder / f"{edge}-edge.{kind}").read_bytes() for kind in ("pem", "key")]
    with (
        contextlib.suppress(grpc.RpcError),
        open_channel(server.grpc, (folder / f"{ca}-ca.pem").read_bytes(), *pems) as channel,
    ):
        stub = pb_grpc.SplitFerStub(channel)
        rpc = bool(stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).tails)
    return rest, rpc


def reload(folder: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "splitfer.cloud_server.cli",
            "reload",
            "--config",
            str(folder / "cloud.yaml"),
        ],
        check=True,
        capture_output=True,
        env=clean_environment(),
        timeout=PATIENCE_S,
    )


def metrics(server: CloudProcess, folder: Path) -> dict[str, float]:
    trust = ssl.create_default_context(cafile=str(folder / "new-ca.pem"))
    trust.load_cert_chain(folder / "new-edge.pem", folder / "new-edge.key")
    with httpx.Client(verify=trust, trust_env=False, timeout=PATIENCE_S) as client:
        lines = client.get(f"https://{server.http}/metrics").text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
        if name.startswith(("splitfer_certificate", "splitfer_tls"))
    }


def test_a_renewal_takes_no_restart(server: CloudProcess, folder: Path) -> None:
    assert "tls_cert expires in 2 days" in server.log
    assert taken(server, folder, "old", "old") == (True, True)
    assert taken(server, folder, "old", "new") == (False, False)

    put(folder, "new")
    reload(folder)
    server.wait_for_line("reloaded tls_cert; it is good for 60 days")
    # The old authority's devices are refused from now on, not only the old certificate gone.
    assert taken(server, folder, "new", "new") == (True, True)
    assert taken(server, folder, "new", "old") == (False, False)
    assert taken(server, folder, "old", "new") == (False, False)

    (folder / "server.key").write_bytes((folder / "old-server.key").read_bytes())
    reload(folder)
    server.wait_for_line("nothing was reloaded: tls_key")
    assert taken(server, folder, "new", "new") == (True, True)

    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            plain.recv(100)
    told = metrics(server, folder)
    assert 59 < told['splitfer_certificate_days{setting="tls_cert"}'] <= 60
    assert told['splitfer_tls_failures_total{reason="certificate_refused"}'] >= 2
    assert told['splitfer_tls_failures_total{reason="plain_text"}'] == 1
    assert "Traceback" not in server.log
    assert (folder / "pid").read_text() == f"{server.pid}\n"
