"""What several cameras have in common."""

from __future__ import annotations

from typing import Any

import pytest

from splitfer.edge_client.appliance.house import House
from splitfer.edge_client.choices import Policy
from splitfer.edge_client.config import load_config
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.run_status import NO_PICTURE_S, Health, RunStatus
from tests.unit.edge_client.answers import face, frame


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def house() -> House:
    return House(load_config(None, {"listen": "127.0.0.1:1"}), "", lambda policy: None)


def camera(house: House, name: str, time: Time) -> RunStatus:
    status = RunStatus(time)
    status.facts["books"] = lambda: {"captured": 3, "dropped": 1, "answered": 2, "lost": 0}
    status.write(frame(0), ())
    policies = [Policy.LOCAL, Policy.CLOUD]
    house.add(name, status, Control(Policy.LOCAL, policies, house.choose))
    return status


def test_it_is_as_well_as_the_camera_that_is_worst_off(house: House, time: Time) -> None:
    assert house.health() is Health.STARTING
    hall, garden = camera(house, "hall", time), camera(house, "garden", time)
    assert house.health() is Health.OK
    garden.source_fault = lambda: "refused"
    time.now_s += NO_PICTURE_S + 1
    hall.write(frame(1), ())
    assert house.health() is Health.WAITING
    assert house.source_fault() == "garden: refused"
    hall.failing = lambda: "output: full"
    assert (house.health(), house.failing()) == (Health.OUTPUT_FAILING, "hall: output: full")
    house.faults["cellar"] = "wrong password"
    assert (house.health().serves, house.failing()) == (False, "cellar: wrong password")
    report = house.report()
    assert set(report["cameras"]) == {"hall", "garden"}
    assert report["cameras"]["garden"]["health"] == "waiting_for_camera"


def test_the_policy_is_common(time: Time) -> None:
    chosen: list[Policy] = []
    house = House(load_config(None, {}), "", chosen.append)
    camera(house, "hall", time)
    camera(house, "garden", time)
    hall, garden = house._controls.values()
    hall.choose("cloud", "a test")
    assert chosen == [Policy.CLOUD]
    assert garden.policy is Policy.CLOUD
    garden.pause(True, "a test")
    assert not hall.paused


def test_each_camera_is_counted(house: House, time: Time) -> None:
    from splitfer.edge_client.view.edge_metrics import page_of

    metrics: dict[str, Any] = {}
    for name in ("hall", "garden"):
        camera(house, name, time)
        metrics[name] = house.metrics_of(name)
        assert house.metrics_of(name) is metrics[name]
    metrics["hall"].write(frame(0), [face()])
    lines = page_of(metrics).decode().splitlines()
    for name in ("hall", "garden"):
        assert f'splitfer_edge_frames_total{{camera="{name}",state="captured"}} 3.0' in lines
        assert f'splitfer_edge_health{{camera="{name}",state="ok"}} 1.0' in lines
    assert len([one for one in lines if one.startswith("process_open_fds ")]) == 1
    assert len([one for one in lines if one.startswith("# TYPE splitfer_edge_health ")]) == 1
