"""``edge-client run`` that is told to read its settings again, as a service is."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitfer.shared.weights import default_folder
from tests.network_camera import Camera, demo_jpegs
from tests.processes import Edge, free_port, wait_until


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    with Camera(demo_jpegs()) as camera:
        yield camera


class Service:
    """A run with a config file, without a terminal."""

    def __init__(self, folder: Path, camera: Camera) -> None:
        self.config, self.audit_file = folder / "camera.yaml", folder / "audit.jsonl"
        self.write("source_name: first")
        self.edge = Edge(
            folder,
            default_folder(),
            "--config",
            str(self.config),
            source=camera.source,
            session=True,
            variables={"SPLITFER_EDGE_AUDIT": str(self.audit_file)},
        )

    def write(self, text: str) -> None:
        self.config.write_text(text + "\n")

    def names(self) -> list[str]:
        """Of the source, in the lines so far, without repetitions."""
        return list(dict.fromkeys(str(one["source_name"]) for one in self.edge.lines()))

    def audit(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.audit_file.read_text().splitlines())
        return [one for one in lines if one["event"] == event]

    def lines_after(self, name: str, more: int = 5) -> None:
        """Wait for ``more`` lines of the source called ``name``."""
        count = len(self.edge.lines())
        self.edge.wait_for(
            lambda _: len(self.edge.lines()) >= count + more and self.names()[-1] == name,
            f"lines of {name}",
        )


@pytest.fixture
def service(tmp_path: Path, camera: Camera) -> Iterator[Service]:
    service = Service(tmp_path, camera)
    with service.edge:
        service.lines_after("first")
        yield service


def test_new_settings_are_used_and_the_books_are_one(service: Service) -> None:
    service.write("source_name: second")
    service.edge.signal(signal.SIGHUP)
    service.lines_after("second")
    service.edge.signal(signal.SIGTERM)
    code, summary = service.edge.finish()
    assert code == 130, service.edge.log()
    assert service.names() == ["first", "second"]
    faces = [line for line in service.edge.lines() if line["record"] == "face"]
    assert summary["faces"] == summary["answered"] == len(faces)
    assert {one["source_name"] for one in faces} == {"first", "second"}
    assert len(service.audit("start")) == 2
    assert len(service.audit("settings_changed")) == 1
    assert "please report" not in service.edge.log()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("threads: [", "camera.yaml, line"),
        ("threads: many", "threads"),
        ("policy: cloud", "needs a server"),
        ("unheard_of: 1", "unheard_of"),
    ],
)
def test_settings_that_are_wrong_change_nothing(service: Service, bad: str, why: str) -> None:
    service.write(bad)
    service.edge.signal(signal.SIGHUP)
    refused: dict[str, Any] = wait_until(
        lambda: next(iter(service.audit("settings_refused")), None), "the refusal"
    )
    assert why in refused["why"]
    assert why in service.edge.log()
    service.lines_after("first")
    service.edge.signal(signal.SIGTERM)
    assert service.edge.finish()[0] == 130
    assert service.names() == ["first"]
    assert len(service.audit("start")) == 1


def test_settings_that_only_the_start_finds_wrong(service: Service, tmp_path: Path) -> None:
    """They are sound as words; what they name is not there: the run goes back."""
    service.write(f"source_name: second\nserver_ca: {tmp_path / 'gone.pem'}\nserver: localhost:1")
    service.edge.signal(signal.SIGHUP)
    refused: dict[str, Any] = wait_until(
        lambda: next(iter(service.audit("settings_refused")), None), "the refusal"
    )
    assert "gone.pem" in refused["why"]
    service.lines_after("first")
    # And a next time, with what can be used.
    service.write(f"source_name: third\nlisten: 127.0.0.1:{free_port()}")
    service.edge.signal(signal.SIGHUP)
    service.lines_after("third")
    service.edge.signal(signal.SIGTERM)
    code, summary = service.edge.finish()
    assert code == 130, service.edge.log()
    assert service.names() == ["first", "third"]
    assert summary["failed"] == 0
    assert "please report" not in service.edge.log()


def test_another_local_model_answers_and_one_that_is_not_there_does_not(service: Service) -> None:
    def answered_by(tail: str) -> None:
        def there(answers: list[dict[str, Any]]) -> bool:
            faces = [one["model"] for one in answers if one["record"] == "face"]
            return bool(faces) and faces[-1] == f"{default_folder().name}/{tail}"

        service.edge.wait_for(there, f"answers of {tail}")

    answered_by("local")
    for model in ("edgecnn", "backbone-int8"):
        service.write(f"source_name: {model}\nlocal_model: {model}")
        service.edge.signal(signal.SIGHUP)
        answered_by(model)
    service.write("source_name: wrong\nlocal_model: light-fer")
    service.edge.signal(signal.SIGHUP)
    refused: dict[str, Any] = wait_until(
        lambda: next(iter(service.audit("settings_refused")), None), "the refusal"
    )
    assert f"in {default_folder()} have no 'light-fer'; there are backbone" in refused["why"]
    service.lines_after("backbone-int8")
    answered_by("backbone-int8")
    service.edge.signal(signal.SIGTERM)
    assert service.edge.finish()[0] == 130
    assert service.names() == ["first", "edgecnn", "backbone-int8"]


def test_a_file_is_read_to_its_end_with_the_settings_it_began_with(tmp_path: Path) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text("source_name: first\n")
    flags = ("--config", str(config), "--realtime")
    with Edge(tmp_path, default_folder(), *flags, source="demo*50", session=True) as edge:
        edge.wait_for(lambda answers: len(answers) > 2, "answers")
        config.write_text("source_name: second\n")
        edge.signal(signal.SIGHUP)
        wait_until(lambda: "no camera or stream" in edge.log(), "the refusal")
        edge.signal(signal.SIGTERM)
        assert edge.finish()[0] == 130
    assert {one["source_name"] for one in edge.lines()} == {"first"}
