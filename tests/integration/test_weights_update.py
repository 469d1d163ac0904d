"""Newer weights over the air: a real server hands them out, a real edge takes them or does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from splitfer.edge_client.updates.weights_store import CHOSEN
from splitfer.shared.weights import default_folder
from tests.manifests import edit_manifest
from tests.network_camera import Camera, demo_jpegs
from tests.processes import Edge, Server, wait_until
from tests.unit.edge_client.updates.signed_weights import KEY, sign_folder, signed_copy

OLD = default_folder().parent / "18f22bc9477744ef"
NEW = default_folder().name


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    with Camera(demo_jpegs()) as camera:
        yield camera


class Device:
    """An edge that may take newer weights, and what it keeps."""

    def __init__(self, folder: Path, camera: Camera, server: str) -> None:
        self.folder, self._camera, self._server = folder, camera, server
        self.root = folder / "state" / "splitfer" / "weights"
        self.audit_file = folder / "audit.jsonl"
        key = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "publisher.pub").write_bytes(key)

    def run(self) -> Edge:
        return Edge(
            self.folder,
            OLD,
            "--policy",
            "local",
            "--server",
            self._server,
            source=self._camera.source,
            session=True,
            variables={
                "SPLITFER_EDGE_WEIGHTS_KEY": str(self.folder / "publisher.pub"),
                "SPLITFER_EDGE_WEIGHTS_EVERY_H": "0.0003",
                "SPLITFER_EDGE_AUDIT": str(self.audit_file),
            },
        )

    def chosen(self) -> dict[str, Any]:
        file = self.root / CHOSEN
        return json.loads(file.read_text()) if file.exists() else {}  # type: ignore[no-any-return]

    def events(self) -> list[dict[str, Any]]:
        if not self.audit_file.exists():
            return []
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    def told(self, event: str) -> dict[str, Any]:
        """The first such event, once it is there."""
        found: dict[str, Any] = wait_until(
            lambda: next((one for one in self.events() if one["event"] == event), None), event
        )
        return found


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return signed_copy(tmp_path / "published")


@pytest.fixture
def server(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Hands out what is ``published``; not started yet."""
    monkeypatch.setenv("SPLITFER_CLOUD_HAND_OUT_WEIGHTS", "true")
    with Server(published, tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def device(tmp_path: Path, camera: Camera, server: Server) -> Device:
    return Device(tmp_path, camera, server.address)


def answered_by(fingerprint: str, more: int = 3) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether the last lines are of the local model of these weights."""

    def there(answers: list[dict[str, Any]]) -> bool:
        last = [one["model"] for one in answers[-more:] if one["record"] == "face"]
        return len(last) == more and set(last) == {f"{fingerprint}/local"}

    return there


def ended(edge: Edge) -> dict[str, Any]:
    edge.signal(signal.SIGTERM)
    code, summary = edge.finish()
    assert code == 130, edge.log()
    assert summary["failed"] == 0
    assert "please report" not in edge.log()
    return summary


def test_newer_weights_are_taken_and_kept(device: Device, server: Server) -> None:
    with device.run() as edge:
        edge.wait_for(answered_by(OLD.name), "answers of the weights of the settings")
        server.start()
        edge.wait_for(answered_by(NEW), "answers of the newer weights")
        assert device.told("weights_taken")["release"] == 1
        assert device.told("weights_confirmed")["weights"].startswith(NEW)
        ended(edge)
    models = [one["model"] for one in edge.answers() if one["record"] == "face"]
    assert list(dict.fromkeys(models)) == [f"{OLD.name}/local", f"{NEW}/local"]
    assert device.chosen()["trial"] is False
    server.kill()
    with device.run() as edge:  # also where no server is
        edge.wait_for(answered_by(NEW), "answers of what was taken")
        ended(edge)
    # Nothing that was fetched is used where nobody's key is named.
    os.environ.pop("SPLITFER_EDGE_WEIGHTS_KEY", None)
    with Edge(device.folder, OLD, "--policy", "local") as edge:
        edge.wait_for(answered_by(OLD.name), "answers of the weights of the settings")


def test_off_by_default_the_server_says_so(
    device: Device, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPLITFER_CLOUD_HAND_OUT_WEIGHTS")
    server.start()
    with device.run() as edge:
        wait_until(lambda: "hands out no weights" in edge.log(), "the refusal")
        edge.wait_for(answered_by(OLD.name), "answers")
        ended(edge)
    assert device.chosen() == {}


def test_weights_of_another_publisher_are_not_taken(
    device: Device, server: Server, published: Path
) -> None:
    sign_folder(published, 1, Ed25519PrivateKey.generate())
    server.start()
    with device.run() as edge:
        assert "signature" in device.told("weights_refused")["why"]
        edge.wait_for(answered_by(OLD.name), "answers")
        ended(edge)
    assert device.chosen() == {}
    assert "weights_taken" not in {one["event"] for one in device.events()}


def test_weights_that_give_wrong_answers_here_are_not_taken(
    device: Device, server: Server, published: Path
) -> None:
    """What no signature helps against, nor the server's own look: its processor is another one.
    Here they are changed once it has looked."""
    server.start()
    golden = published / "golden.npz"
    with np.load(golden) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    name = next(one for one in changed if "local" in one)
    changed[name] = changed[name] + 1
    np.savez_compressed(golden, **changed)  # type: ignore[arg-type]
    edit_manifest(published, lambda manifest: _rehash(manifest, published))
    sign_folder(published, 1)
    with device.run() as edge:
        assert "wrong logits" in device.told("weights_refused")["why"]
        wait_until(lambda: device.chosen().get("refused"), "it to be remembered")
        edge.wait_for(answered_by(OLD.name), "answers")
        ended(edge)
    assert device.chosen()["name"] is None
    assert not list(device.root.glob("*.part"))
    assert {"stop"} == {one["event"] for one in device.events()[-1:]}


def _rehash(manifest: dict[str, Any], folder: Path) -> None:
    import hashlib

    digest = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    manifest["golden"]["sha256"] = digest


def test_killed_in_the_middle_it_goes_on_and_nothing_is_half_used(
    device: Device, server: Server
) -> None:
    server.start()
    with device.run() as edge:
        wait_until(lambda: list(device.root.glob("*.part/*.draft")), "a file to be fetched")
        edge.signal(signal.SIGKILL)
        edge.wait()
    assert device.chosen().get("name") is None
    parts = list(device.root.glob("*.part"))
    assert len(parts) == 1
    with device.run() as edge:
        edge.wait_for(answered_by(NEW), "answers of the newer weights")
        device.told("weights_confirmed")
        ended(edge)
    assert not list(device.root.glob("*.part"))


def test_a_server_that_dies_while_it_sends(device: Device, server: Server) -> None:
    server.start()
    with device.run() as edge:
        wait_until(lambda: list(device.root.glob("*.part/*.draft")), "a file to be fetched")
        server.kill()
        count = len(edge.answers())
        edge.wait_for(lambda answers: len(answers) > count + 5, "answers meanwhile")
        server.start()
        edge.wait_for(answered_by(NEW), "answers of the newer weights")
        ended(edge)


def test_weights_that_cannot_be_loaded_any_more_are_left(device: Device, server: Server) -> None:
    """Judged, chosen, and then the card loses a file before they are loaded."""
    with device.run() as edge:
        edge.wait_for(answered_by(OLD.name), "answers")
        ended(edge)
    name = f"{NEW}-0123456789abcdef"
    shutil.copytree(default_folder(), device.root / name)
    (device.root / name / "local.onnx").write_bytes(b"lost")
    chosen = {"name": name, "before": None, "trial": True, "loads": 0, "release": 1, "refused": []}
    (device.root / CHOSEN).write_text(json.dumps(chosen))
    with device.run() as edge:
        edge.wait_for(answered_by(OLD.name), "answers of the weights of before")
        ended(edge)
    assert device.chosen()["name"] is None
    assert device.chosen()["refused"] == ["0123456789abcdef"]


def test_a_release_of_before_is_not_brought_back(
    device: Device, server: Server, published: Path
) -> None:
    device.root.mkdir(parents=True)
    chosen = {"name": None, "before": None, "trial": False, "loads": 0, "release": 5, "refused": []}
    (device.root / CHOSEN).write_text(json.dumps(chosen))
    sign_folder(published, 4)
    server.start()
    with device.run() as edge:
        assert "release 4; this device had 5" in device.told("weights_refused")["why"]
        edge.wait_for(answered_by(OLD.name), "answers")
        ended(edge)
