"""`edge-client run` of several cameras at once."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitfer.shared.weights import default_folder
from tests.broker import Broker, Listener, needs_broker
from tests.network_camera import Camera, demo_jpegs
from tests.processes import Edge, free_port, wait_until


@pytest.fixture
def cameras() -> Iterator[tuple[Camera, Camera]]:
    pictures = demo_jpegs()
    with Camera(pictures, fps=5) as hall, Camera(pictures, fps=5) as garden:
        yield hall, garden


def settings(tmp_path: Path, cameras: tuple[Camera, Camera], *lines: str) -> Path:
    hall, garden = cameras
    common = ["policy = 'local'", "device_id = 'house'", "search_side_px = 320", *lines]
    named = [
        f"[[cameras]]\nsource = '{hall.source}'\nsource_name = 'Hall'",
        f"[[cameras]]\nsource = '{garden.source}'\nsource_name = 'garden'",
        "masks = [[[0, 0], [1, 1]]]\nheartbeat_s = 0.5",
    ]
    path = tmp_path / "house.toml"
    path.write_text("\n".join([*common, *named]) + "\n")
    return path


def health(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as reply:
        report: dict[str, Any] = json.load(reply)
        return report


def test_one_that_goes_and_comes_does_not_disturb_the_other(
    tmp_path: Path, cameras: tuple[Camera, Camera]
) -> None:
    hall, garden = cameras
    port = free_port()
    config = settings(tmp_path, cameras, f"listen = '127.0.0.1:{port}'")
    flags = ("--config", str(config), "--annotate", str(tmp_path / "seen.mp4"))
    flags += ("--keep-pictures-h", "1")
    with Edge(tmp_path, default_folder(), *flags, source=None) as edge:

        def count(name: str) -> int:
            return sum(line["source_name"] == name for line in edge.lines())

        wait_until(lambda: count("Hall") > 3 and count("garden") > 1, "lines of both")
        garden.unplug()
        wait_until(lambda: health(port)["waiting_for"], "the garden to be missed")
        report = health(port)
        assert report["waiting_for"].startswith("garden: http://127.0.0.1")
        assert report["cameras"]["Hall"]["waiting_for"] is None
        before = count("Hall")
        wait_until(lambda: count("Hall") > before + 3, "the hall to go on")
        garden.plug_in()
        wait_until(lambda: health(port)["waiting_for"] is None, "the garden to be back")
        edge.signal(signal.SIGTERM)
        code, summary = edge.finish()
    assert code == 130, edge.log()
    lines = edge.lines()
    # Of the garden everything is masked: nobody is seen there.
    kinds = {
        name: {one["record"] for one in lines if one["source_name"] == name}
        for name in ("Hall", "garden")
    }
    assert kinds == {"Hall": {"face", "event"}, "garden": {"heartbeat"}}
    assert {one["source"] for one in lines if one["source_name"] == "Hall"} == {hall.source}
    books = summary["cameras"]
    assert books["garden"]["source"]["reopened"] >= 1
    for name in ("Hall", "garden"):
        assert books[name]["frames"] > 0
    assert books["Hall"]["faces"] == books["Hall"]["answered"] > 0
    assert books["garden"]["faces"] == 0
    assert "please report" not in edge.log()
    assert list(tmp_path.glob("seen-hall*.mp4"))
    assert list(tmp_path.glob("seen-garden*.mp4"))


def test_one_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, cameras: tuple[Camera, Camera]
) -> None:
    config = settings(tmp_path, cameras)
    with config.open("a") as file:
        file.write("[[cameras]]\nsource = 'none.mp4'\nsource_name = 'cellar'\n")
    with Edge(tmp_path, default_folder(), "--config", str(config), source=None) as edge:
        wait_until(lambda: len(edge.lines()) > 3, "lines of the others")
        edge.signal(signal.SIGTERM)
        code, summary = edge.finish()
    assert code == 1
    assert "cellar: " in edge.log()
    assert "no such file" in summary["given_up"]["cellar"]
    assert set(summary["cameras"]) == {"Hall", "garden"}


@needs_broker
def test_each_is_a_device_of_its_own_on_the_broker(
    tmp_path: Path, cameras: tuple[Camera, Camera]
) -> None:
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        config = settings(tmp_path, cameras, f"mqtt = '127.0.0.1:{broker.port}'")
        with Edge(tmp_path, default_folder(), "--config", str(config), source=None) as edge:
            for name, faces in (("hall", 1), ("garden", 0)):
                listener.wait_for(f"splitfer/house/{name}/availability", "online")
                wait_until(
                    lambda name=name, faces=faces: any(  # type: ignore[misc]
                        one.json["faces"] == faces
                        for one in listener.on(f"splitfer/house/{name}/state")
                    ),
                    f"the state of {name}",
                )
                assert listener.on(f"homeassistant/device/splitfer_house_{name}/config")
            listener.say("splitfer/house/garden/pause/set", "ON")
            listener.wait_for("splitfer/house/garden/pause", "ON")
            assert listener.on("splitfer/house/hall/pause")[-1].text == "OFF"
            edge.signal(signal.SIGTERM)
            assert edge.finish()[0] == 130, edge.log()
        for name in ("hall", "garden"):
            listener.wait_for(f"splitfer/house/{name}/availability", "offline")


def test_settings_are_read_again_and_each_camera_has_one_book(
    tmp_path: Path, cameras: tuple[Camera, Camera]
) -> None:
    config = settings(tmp_path, cameras)
    flags = ("--config", str(config))
    with Edge(tmp_path, default_folder(), *flags, source=None, session=True) as edge:

        def names() -> set[str]:
            return {str(line["source_name"]) for line in edge.lines()}

        wait_until(lambda: names() == {"Hall", "garden"}, "lines of both")
        config.write_text(config.read_text().replace("'Hall'", "'stairs'"))
        edge.signal(signal.SIGHUP)
        wait_until(lambda: "stairs" in names(), "lines by the new settings")
        # One camera in place of several wants a new start; the run goes on as it is.
        config.write_text(f"source = '{cameras[0].source}'\npolicy = 'local'\n")
        edge.signal(signal.SIGHUP)
        wait_until(lambda: "want a new start" in edge.log(), "the settings to be refused")
        count = len(edge.lines())
        wait_until(lambda: len(edge.lines()) > count + 3, "lines after it")
        edge.signal(signal.SIGTERM)
        code, summary = edge.finish()
    assert code == 130, edge.log()
    assert set(summary["cameras"]) == {"stairs", "garden"}
    faces = [line for line in edge.lines() if line["record"] == "face"]
    counted = sum(line["source_name"] == "stairs" for line in faces)
    assert summary["cameras"]["stairs"]["answered"] == counted
    assert "please report" not in edge.log()
