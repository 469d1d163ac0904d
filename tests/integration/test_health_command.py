"""``cloud-server health`` and ``edge-client health`` beside real processes, over TLS too."""

import http.server
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitfer.shared.weights import default_folder
from tests.certificates import authority, certificate
from tests.integration.cloud_process import PATIENCE_S, CloudProcess, clean_environment
from tests.loaded import run_loaded
from tests.network_camera import Camera, demo_jpegs
from tests.processes import Edge, free_port, wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority(folder, "ca")
    authority(folder, "callers-ca")
    certificate(folder, "server", "ca")
    certificate(folder, "probe", "callers-ca")
    return folder


@pytest.fixture(scope="module")
def mutual(old_weights_folder: Path, folder: Path) -> Iterator[CloudProcess]:
    (folder / "cloud.yaml").write_text(
        f"tls_cert: {folder / 'server.pem'}\ntls_key: {folder / 'server.key'}\n"
        f"tls_client_ca: {folder / 'callers-ca.pem'}\ntoken: a-token-that-nobody-guesses\n"
        f"health_cert: {folder / 'probe.pem'}\nhealth_key: {folder / 'probe.key'}\n"
        f"http_port: {free_port()}\n"
    )
    with CloudProcess(
        old_weights_folder, "--config", str(folder / "cloud.yaml"), http_port=None, fresh=True
    ) as server:
        yield server


def health(of: str, *words: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    done = run_loaded(
        f"splitfer.{of}.cli",
        "health",
        *words,
        environment=clean_environment(),
        timeout_s=PATIENCE_S,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_with_tls_and_certificates_of_callers(mutual: CloudProcess, folder: Path) -> None:
    assert health("cloud_server", "--config", str(folder / "cloud.yaml")) == (0, "ready\n")
    live = health("cloud_server", "--config", str(folder / "cloud.yaml"), "--live")
    assert live == (0, "ok\n")
    # As in a container, where process 1 alone knows its settings.
    assert health("cloud_server", "--pid", str(mutual.pid)) == (0, "ready\n")


def test_a_certificate_that_is_not_taken(mutual: CloudProcess, folder: Path) -> None:
    (folder / "other.yaml").write_text(
        "".join(
            line
            for line in (folder / "cloud.yaml").read_text().splitlines(True)
            if "health" not in line
        )
    )
    code, said = health("cloud_server", "--config", str(folder / "other.yaml"))
    assert code == 1
    assert "health_cert" in said


def test_a_server_that_takes_no_work(old_weights_folder: Path, tmp_path: Path) -> None:
    port = str(free_port())
    assert health("cloud_server", "--http-port", port)[0] == 1
    (tmp_path / "cloud.yaml").write_text("drain_s: 600\nlame_duck_s: 600\n")
    flags = ("--config", str(tmp_path / "cloud.yaml"), "--http-port", port)
    with CloudProcess(old_weights_folder, *flags, http_port=None, fresh=True) as server:
        assert health("cloud_server", "--pid", str(server.pid)) == (0, "ready\n")
        server.signal(signal.SIGTERM)
        server.wait_for_line("leaving")
        code, said = health("cloud_server", "--pid", str(server.pid))
        assert (code, "leaving" in said) == (1, True)
        assert health("cloud_server", "--pid", str(server.pid), "--live")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--pid", "999999999"), "no process"),
        (("--pid", str(os.getpid())), "no 'cloud-server serve'"),
        (("--http-port", "0"), "http_port"),
    ],
)
def test_what_cannot_be_asked_is_named(words: tuple[str, ...], told: str) -> None:
    code, said = health("cloud_server", *words)
    assert code == 2
    assert told in said
    assert len(said.splitlines()) == 1


def test_an_edge_asks_the_server_that_it_is_set_to(mutual: CloudProcess, folder: Path) -> None:
    flags = ["--server", mutual.grpc, "--server-ca", str(folder / "ca.pem")]
    cert = ["--client-cert", str(folder / "probe.pem"), "--client-key", str(folder / "probe.key")]
    (folder / "edge.yaml").write_text("token: a-token-that-nobody-guesses\n")
    config = ["--config", str(folder / "edge.yaml")]
    code, said = health("edge_client", *flags, *cert, *config, "--timeout-s", "30")
    assert (code, mutual.fingerprint in said) == (0, True)
    code, said = health("edge_client", *flags, *cert, "--timeout-s", "30")
    assert (code, "token" in said) == (1, True)
    code, said = health("edge_client", *flags, *config, "--timeout-s", "30")
    assert (code, "certificate" in said) == (1, True)


def test_a_run_that_hangs(old_weights_folder: Path, tmp_path: Path) -> None:
    flags = ("--realtime", "--policy", "local")
    with Edge(tmp_path, old_weights_folder, *flags, fresh=True) as edge:
        edge.wait_for(bool, "an answer")
        assert health("edge_client", "--pid", str(edge.pid)) == (0, "working\n")
        edge.signal(signal.SIGSTOP)
        code, said = health("edge_client", "--pid", str(edge.pid), "--timeout-s", "1")
        assert (code, "hangs" in said) == (1, True)
    assert health("edge_client")[0] == 2


def test_a_run_that_waits_for_its_camera_is_healthy(
    old_weights_folder: Path, tmp_path: Path
) -> None:
    source = f"http://127.0.0.1:{free_port()}/stream"
    with Edge(tmp_path, old_weights_folder, "--policy", "local", source=source, fresh=True) as edge:
        wait_until(lambda: "it is tried again" in edge.log(), "the camera to be missed")
        code, said = health("edge_client", "--pid", str(edge.pid))
        assert (code, said.startswith("waiting for the camera: http://127.0.0.1")) == (0, True)


def test_a_run_says_how_it_is_over_http(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "camera.yaml"
    config.write_text(f"listen: 127.0.0.1:{port}\nserver: 127.0.0.1:9\npolicy: local\n")
    asked = ("--config", str(config), "--run", "--timeout-s", "20")
    code, said = health("edge_client", *asked)
    assert (code, "no run answers" in said) == (1, True)
    with Camera(demo_jpegs()) as camera:
        flags = ("--config", str(config))
        with Edge(tmp_path, default_folder(), *flags, source=camera.source) as edge:
            edge.wait_for(bool, "an answer")
            code, said = health("edge_client", *asked)
            assert (code, said) == (0, "server_away\n")
            # Without a server in the settings the run is meant.
            alone = ("--listen", f"127.0.0.1:{port}", "--timeout-s", "20")
            assert health("edge_client", *alone) == (0, "server_away\n")
            camera.freeze()
            wait_until(lambda: says(port) == "waiting_for_camera", "it to be missed")
            code, said = health("edge_client", *asked)
            assert (code, said.startswith("waiting_for_camera: http://127.0.0.1")) == (0, True)


def says(port: int) -> str:
    """The word of a run's health, without a process to ask for it."""
    reply = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE_S, trust_env=False)
    return str(reply.json()["health"])


def test_what_is_no_run_is_not_taken_for_one() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoRun) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, said = health("edge_client", "--listen", f"127.0.0.1:{server.server_port}")
        server.shutdown()
    assert code == 1
    assert "no run of this program" in said


class NoRun(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[1, 2]")

    def log_message(self, format: str, *words: object) -> None:
        pass
