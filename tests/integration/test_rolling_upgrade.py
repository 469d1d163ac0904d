"""A fleet moves to new weights while the server runs: loaded, switched, a bad version, rolled
back, restarted, unloaded. No face goes without its one answer, and each is its weights' own."""

from __future__ import annotations

import hashlib
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from splitfer.cloud_server.cli import run
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import CloudProcess
from tests.integration.fed_edge import FedEdge, Picture, demo_pictures
from tests.processes import free_port

TOKEN = "only-for-this-test"
PICTURES = 60
AWAY: set[str | None] = {"link_down", "breaker_open", "not_ready"}


class Operator:
    """A server, and a person at its command line."""

    def __init__(self, folder: Path, weights: Path, root: Path) -> None:
        self._weights, self._root = weights, root
        self._ports = free_port(), free_port()
        self.grpc = f"127.0.0.1:{self._ports[0]}"
        self.url = f"http://127.0.0.1:{self._ports[1]}"
        tokens = folder / "tokens.yaml"
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        tokens.write_text(f"operator: {{sha256: {digest}, scopes: [infer, image, admin]}}\n")
        self._config = folder / "cloud.yaml"
        self._config.write_text("tokens: tokens.yaml\n")

    @contextmanager
    def server(self, *more_weights: Path) -> Iterator[None]:
        """A server from its start until it has drained."""
        flags = [flag for more in more_weights for flag in ("--weights", str(more))]
        grpc_port, http_port = map(str, self._ports)
        with CloudProcess(
            self._weights,
            "--config",
            str(self._config),
            "--weights-root",
            str(self._root),
            "--grpc-port",
            grpc_port,
            "--http-port",
            http_port,
            *flags,
        ) as process:
            yield
            process.signal(signal.SIGTERM)
            assert process.exit_code() == 0
            assert "Traceback" not in process.log

    def models(self, *arguments: str) -> int:
        """``cloud-server models`` and its exit code."""
        return run(["models", "--url", self.url, *arguments])

    def ask(self, method: str, path: str, **what: Any) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False) as client:
            reply = client.request(method, path, timeout=60, **what)
            assert reply.status_code == 200, reply.text
            return reply.json()

    def assert_default(self, fingerprint: str, picture: Picture) -> None:
        """What the handshake says, and what answers a whole picture."""
        assert self.ask("GET", "/v1/model")["fingerprint"] == fingerprint
        faces = self.ask("POST", "/v1/faces", content=picture.data)["faces"]
        assert faces
        assert {face["model"] for face in faces} == {f"{fingerprint}/local"}


@pytest.fixture
def root(old_weights_folder: Path, tmp_path: Path) -> Path:
    """Where the operator puts versions: the first, the present, and one that was cut short."""
    root = tmp_path / "root"
    shutil.copytree(old_weights_folder, root / old_weights_folder.name)
    shutil.copytree(default_folder(), root / default_folder().name)
    shutil.copytree(default_folder(), root / "bad")
    with (root / "bad" / "cloud.onnx").open("r+b") as file:
        file.truncate(100_000)
    return root


@pytest.mark.timeout(240)
def test_a_rolling_upgrade_loses_no_answer(
    old_weights_folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_ADMIN_TOKEN", TOKEN)
    first, present = old_weights_folder.name, default_folder().name
    pictures = demo_pictures(12, old_weights_folder, default_folder())
    operator = Operator(tmp_path, old_weights_folder, root)
    token = {"SPLITFER_EDGE_TOKEN": TOKEN}

    with ExitStack() as edges:

        def edge(name: str, weights: Path) -> FedEdge:
            folder = tmp_path / name
            return edges.enter_context(
                FedEdge(folder, weights, operator.grpc, pictures, PICTURES, token)
            )

        with operator.server():
            old = edge("old", old_weights_folder)
            new = edge("new", default_folder())  # a device that was updated before its server
            old.feed_until("cloud", None)
            new.feed_some("local", {"model_mismatch"})

            # A bad version is refused, and nothing changes.
            assert operator.models("load", "bad", "--default") == 4
            operator.assert_default(first, pictures[0])
            old.feed_some("cloud", {None})

            # The new one loads while the old one answers, and is the default from then on.
            codes: list[int] = []
            loading = threading.Thread(
                target=lambda: codes.append(operator.models("load", present, "--default"))
            )
            loading.start()
            old.feed_some("cloud", {None}, count=10)
            loading.join()
            assert codes == [0]
            new.feed_until("cloud", None)
            old.feed_some("cloud", {None})
            operator.assert_default(present, pictures[0])

            # Back, and both are still served.
            assert operator.models("rollback") == 0
            operator.assert_default(first, pictures[0])
            old.feed_some("cloud", {None})
            new.feed_some("cloud", {None})

            # A device whose weights are unloaded answers alone, and comes back with them.
            assert operator.models("unload", present) == 0
            new.feed_some("local", {"model_mismatch"})
            old.feed_some("cloud", {None})
            assert operator.models("load", present) == 0
            new.feed_until("cloud", None)

        # A restart: both answer alone meanwhile.
        old.feed_some("local", AWAY)
        new.feed_some("local", AWAY)
        with operator.server(root / present):
            old.feed_until("cloud", None)
            new.feed_until("cloud", None)
            assert operator.models("default", present) == 0
            assert operator.models("unload", first) == 0
            old.feed_some("local", {"model_mismatch"})
            old.end()
            new.end()
