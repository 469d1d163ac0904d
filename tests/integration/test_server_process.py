"""The server's life as a process: start, refuse to start, drain, stop."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import default_folder
from tests.certificates import authority
from tests.integration.cloud_process import PATIENCE_S, CloudProcess, clean_environment
from tests.processes import free_port, wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded, grey

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PICTURE = encoded(grey(100))


@contextmanager
def upload(server: CloudProcess) -> Iterator[socket.socket]:
    """A request that the server has let in and whose body is not complete."""
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PICTURE)}\r\n"
        connection.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        # The server asks for the body once the request is in its hands.
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(PICTURE[:10])
        yield connection


def test_it_starts_answers_and_ends_without_torch(weights_folder: Path) -> None:
    with CloudProcess(weights_folder, python=("-X", "importtime")) as server:
        with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
            assert client.post("/v1/faces", content=PICTURE).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        imported = {line.split("|")[-1].strip() for line in server.log.splitlines()}
    assert "onnxruntime" in imported
    assert not {name for name in imported if name.split(".")[0] == "torch"}
    assert not {name for name in imported if name.startswith("training")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(weights_folder: Path, number: signal.Signals) -> None:
    with CloudProcess(weights_folder) as server, server.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        with (
            upload(server) as connection,
            httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client,
        ):
            server.signal(number)
            assert next(watch).status == NOT_SERVING

            # Alive, not ready, and new work is refused with our code.
            assert client.get("/healthz").status_code == 200
            for refused in (client.get("/readyz"), client.post("/v1/faces", content=PICTURE)):
                assert refused.status_code == 503
                assert refused.json()["error"]["code"] == "not_ready"
                assert refused.json()["error"]["retryable"] is True
                assert int(refused.headers["retry-after"]) > 0
            with pytest.raises(grpc.RpcError) as raised:
                pb_grpc.SplitFerStub(channel).GetModel(pb.GetModelRequest(), timeout=PATIENCE_S)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            assert ("splitfer-code", "not_ready") in raised.value.trailing_metadata()

            # What was let in before is answered.
            connection.sendall(PICTURE[10:])
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert server.exit_code() == 0
        assert "in flight" not in server.log
        assert "Traceback" not in server.log


def test_a_drain_ends_when_its_time_is_up(old_weights_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("drain_s: 0.1\n")
    with (
        CloudProcess(old_weights_folder, "--config", str(file)) as server,
        server.channel() as channel,
    ):
        # A watch is a call that never ends.
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watch)
        with upload(server) as connection:
            server.signal(signal.SIGTERM)
            server.wait_for_line("draining")
            began_s = time.monotonic()
            server.wait_for_line("stopping with requests in flight")
            server.wait_for_line("stopped")
            assert time.monotonic() - began_s < 0.1 + 1.9  # its second, and some for a busy machine
            reply = b"".join(iter(partial(connection.recv, 65536), b""))
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"not_ready"' in reply
        assert reply.lower().count(b"x-request-id") == 1
        assert server.exit_code() == 0
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log
        assert "1 not_ready" in server.log


def test_a_lame_duck_serves_on(old_weights_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("lame_duck_s: 3600\n")
    with CloudProcess(old_weights_folder, "--config", str(file)) as server:
        with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
            server.signal(signal.SIGTERM)
            server.wait_for_line("leaving")
            unready = client.get("/readyz")
            assert (unready.status_code, unready.json()["reason"]) == (503, "leaving")
            assert client.get("/v2/health/ready").status_code == 503
            assert client.post("/v1/faces", content=PICTURE).status_code == 200
            with server.channel() as channel:
                check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert check.status == NOT_SERVING
                stub = pb_grpc.SplitFerStub(channel)
                assert stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S).tails
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_a_second_signal_cuts_the_drain_short(weights_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("drain_s: 3600\n")
    with CloudProcess(weights_folder, "--config", str(file)) as server, upload(server):
        server.signal(signal.SIGINT)
        server.wait_for_line("draining")
        server.signal(signal.SIGINT)
        assert server.exit_code() == 0


def test_a_token_is_asked_for_on_both_protocols(weights_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("token: only-for-this-test\n")
    with CloudProcess(weights_folder, "--config", str(file)) as server:
        right = {"authorization": "Bearer only-for-this-test"}
        with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
            assert client.get("/healthz").status_code == 200
            for method, path in (("GET", "/v1/model"), ("POST", "/v1/faces")):
                refused = client.request(method, path)
                assert refused.status_code == 401
                assert refused.json()["error"]["code"] == "unauthorised"
                assert refused.headers["www-authenticate"] == "Bearer"
            assert client.get("/v1/model", headers=right).status_code == 200
        with server.channel() as channel:
            stub = pb_grpc.SplitFerStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert ("splitfer-code", "unauthorised") in raised.value.trailing_metadata()
            metadata = tuple(right.items())
            assert stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S, metadata=metadata).tails
        assert "only-for-this-test" not in server.log


def test_tls_on_both_protocols(weights_folder: Path, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    file = tmp_path / "cloud.yaml"
    file.write_text(f"tls_key: {json.dumps(str(key))}\ntls_cert: {json.dumps(str(cert))}\n")
    with CloudProcess(weights_folder, "--config", str(file)) as server:
        trust = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(
            base_url=f"https://{server.http}", verify=trust, trust_env=False
        ) as client:
            assert client.get("/readyz").status_code == 200
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(server.grpc, credentials) as channel:
            payload = PayloadCodec(None, 1).encode(Latent(np.zeros((8, 28, 28), np.uint8), 0))
            request = pb.InferRequest(fingerprint=server.fingerprint, payloads=[payload])
            reply = pb_grpc.SplitFerStub(channel).Infer(request, timeout=PATIENCE_S)
            assert reply.results[0].answer.model


def test_other_machines_without_tls_are_warned_of(weights_folder: Path) -> None:
    with CloudProcess(weights_folder, "--host", "0.0.0.0") as server:
        assert "without TLS" in server.log
        assert "WARNING" in server.log


@pytest.mark.parametrize(
    ("flags", "code", "names"),
    [
        (["--config", "cloud.toml"], 2, "cloud.toml: No such file"),
        (["--tail", "local"], 2, "tail: 'local'"),
        (["--threads", "0"], 2, "--threads"),
        (["--weights", "."], 4, "no weights in ."),
    ],
)
def test_it_refuses_to_start_in_one_line(
    flags: list[str], code: int, names: str, weights_folder: Path
) -> None:
    ports = ["--grpc-port", "0", "--http-port", "0"]
    command = [sys.executable, "-m", "splitfer.cloud_server.cli", "serve", *ports]
    weights = [] if "--weights" in flags else ["--weights", str(weights_folder)]
    done = subprocess.run(
        [*command, *weights, *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == code
    assert names in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_with_json_logs_every_line_is_json(weights_folder: Path, tmp_path: Path) -> None:
    authority(tmp_path, "s")
    file = tmp_path / "cloud.yaml"
    file.write_text("tls_cert: s.pem\ntls_key: s.key\nlog_format: json\nlog_level: debug\n")
    with CloudProcess(weights_folder, "--config", str(file)) as server:
        # gRPC's own code complains of this one.
        with socket.create_connection(server.grpc.split(":"), timeout=PATIENCE_S) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(100)
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    lines = [line for line in server.log.splitlines() if line != "(end)"]
    assert {"splitfer.cloud_server"} <= {json.loads(line)["logger"] for line in lines}


def test_a_reload_that_comes_while_it_loads_is_heard_once_it_serves(
    tmp_path: Path,
) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(f"pid_file: {tmp_path / 'pid'}\n")
    command = [
        sys.executable, "-m", "splitfer.cloud_server.cli", "serve", "--config", str(file),
        "--grpc-port", "0", "--http-port", "0", "--weights", str(default_folder()),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as server:
        try:
            wait_until((tmp_path / "pid").exists, "the id of a process that loads its weights")
            server.send_signal(signal.SIGHUP)
            assert server.stderr
            log = ""
            while "reloaded the tokens" not in log or "serving" not in log:
                line = server.stderr.readline()
                assert line, f"it ended with {server.poll()}:\n{log}"
                log += line
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_S) == 0
        finally:
            server.kill()


def test_a_second_server_leaves_the_first_ones_pid_file_alone(tmp_path: Path) -> None:
    pid_file, file = tmp_path / "pid", tmp_path / "cloud.yaml"
    file.write_text(f"pid_file: {pid_file}\n")
    pid_file.write_text("999999999\n")  # of one that was killed
    with CloudProcess(default_folder(), "--config", str(file), fresh=True) as server:
        assert pid_file.read_text() == f"{server.pid}\n"
        second = subprocess.run(
            [sys.executable, "-m", "splitfer.cloud_server.cli", "serve", "--config", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=clean_environment(),
            check=False,
        )
        assert second.returncode == 2
        assert f"pid_file: {pid_file} is that of process {server.pid}" in second.stderr
        assert pid_file.read_text() == f"{server.pid}\n"
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    assert not pid_file.exists()


def test_of_two_servers_that_start_on_one_port_one_says_in_a_line_why_it_does_not() -> None:
    ports = ["--grpc-port", str(free_port()), "--http-port", str(free_port())]
    command = [
        sys.executable,
        "-m",
        "splitfer.cloud_server.cli",
        "serve",
        *ports,
        "--weights",
        str(default_folder()),
    ]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment())
        for _ in range(2)
    ]
    try:
        wait_until(lambda: any(one.poll() is not None for one in both), "one of them to give up")
        (loser,) = [one for one in both if one.poll() is not None]
        assert loser.returncode == 2
        assert loser.stderr
        said = loser.stderr.read()
        assert "_port: cannot listen on 127.0.0.1:" in said
        assert "Traceback" not in said
    finally:
        for one in both:
            one.kill()
            one.communicate()
