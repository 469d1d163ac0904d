"""Debian's Prometheus scrapes a real server; the dashboard and the alerts ask for what it found."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import free_port, wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="apt-get install prometheus brings Prometheus and promtool"
)


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_and_alerts() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_configuration_for_a_cluster(tmp_path: Path) -> None:
    """But for the way to find pods, which Debian leaves out of its Prometheus."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    job["static_configs"] = [{"targets": ["pod:8080"]}]
    file = tmp_path / "kubernetes.yml"
    file.write_text(yaml.safe_dump(config))
    promtool("check", "config", "--syntax-only", str(file))


def shown_queries() -> list[tuple[str, str]]:
    """What each panel of the dashboard asks, with its variables filled in."""
    dashboard = json.loads((DEPLOY / "grafana" / "splitfer.json").read_text())
    return [
        (
            panel["title"],
            target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s"),
        )
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Iterator[Any]:
    """A Prometheus that has seen a server answer faces and pictures, and refuse some."""
    folder = tmp_path_factory.mktemp("prometheus")
    with CloudProcess(default_folder()) as server:
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"]["scrape_interval"] = "1s"
        config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yml")]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [server.http]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        listen = f"127.0.0.1:{free_port()}"
        prometheus = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={listen}",
                "--log.level=error",
            ],
        )
        try:
            with httpx.Client(
                base_url=f"http://{listen}/api/v1", trust_env=False, timeout=60
            ) as client:
                yield from _seen(client, server, encoded(astronaut))
        finally:
            prometheus.send_signal(signal.SIGTERM)
            prometheus.wait(PATIENCE_S)


def _seen(client: httpx.Client, server: CloudProcess, picture: bytes) -> Iterator[Any]:
    def ask(expression: str) -> list[Any]:
        try:
            reply = client.get("/query", params={"query": expression})
        except httpx.TransportError:
            return []  # it does not listen yet
        if reply.status_code == 503:
            return []  # nor is it ready
        assert reply.status_code == 200, f"{expression}: {reply.text}"
        result: list[Any] = reply.json()["data"]["result"]
        return result

    work(server, picture)
    wait_until(lambda: ask("splitfer_rejected_total"), "the first scrape")

    # Rates need two scrapes that differ.
    def grown() -> bool:
        work(server, picture)
        grew = ask("increase(splitfer_rejected_total[10s]) > 0")
        return bool(grew and ask("increase(splitfer_picture_seconds_count[10s]) > 0"))

    wait_until(grown, "growth between two scrapes")
    yield ask


def work(server: CloudProcess, picture: bytes) -> None:
    """Faces, a picture, and a request that is refused."""
    payload = PayloadCodec(None, 3).encode(Latent(np.full((8, 28, 28), 128, np.uint8), 0))
    stub = server.stub()
    stub.Infer(
        pb.InferRequest(fingerprint=server.fingerprint, payloads=[payload] * 3), timeout=PATIENCE_S
    )
    httpx.post(f"http://{server.http}/v1/faces", content=picture, timeout=60, trust_env=False)
    late = {"X-SplitFER-Deadline-Ms": "0.001"}
    refused = httpx.post(
        f"http://{server.http}/v1/faces", content=picture, headers=late, timeout=60, trust_env=False
    )
    assert refused.status_code == 504


def test_it_is_up_and_whole(answers: Any) -> None:
    (up,) = answers('up{job="splitfer"}')
    assert up["value"][1] == "1"
    (faces,) = answers('splitfer_faces_total{outcome="ok"}')
    assert float(faces["value"][1]) >= 4


@pytest.mark.parametrize(("panel", "query"), shown_queries())
def test_every_panel_of_the_dashboard_shows_something(answers: Any, panel: str, query: str) -> None:
    assert answers(query), f"{panel}: {query}"


def test_alerts_ask_for_metrics_that_exist(answers: Any) -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in groups[0]["rules"]:
        for metric in re.findall(r"\b(?:splitfer_\w+|up)\b(?=[{\[ ])", rule["expr"]):
            assert answers(metric), f"{rule['alert']}: {metric}"
