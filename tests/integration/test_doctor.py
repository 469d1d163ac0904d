"""What `edge-client doctor` finds, and says to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client import cli
from splitfer.edge_client.commands import doctor
from splitfer.edge_client.commands.doctor import Finding, Verdict, findings
from splitfer.edge_client.config import load_config
from tests.broker import Broker, needs_broker
from tests.processes import free_port


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def found(**settings: Any) -> dict[str, Finding]:
    return {one.name: one for one in findings(load_config(None, settings))}


def test_a_run_on_a_file_needs_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--source", "demo", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    verdicts = {one["name"]: one["verdict"] for one in lines}
    assert verdicts["camera"] == verdicts["models"] == "good"
    assert verdicts["server"] == verdicts["broker"] == verdicts["purpose"] == "skipped"


def test_everything_that_is_away_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    away = found(
        source="63",
        server=f"127.0.0.1:{port}",
        mqtt=f"127.0.0.1:{port}",
        webhook=f"http://127.0.0.1:{port}/s3cret",
    )
    for name in ("purpose", "camera", "server", "broker", "webhook"):
        assert away[name].verdict is Verdict.BAD, name
    assert "purpose: say what" in away["purpose"].words
    assert "/dev/video63" in away["camera"].words
    assert "refused" in away["server"].words
    assert "mqtt_user" in away["broker"].to_do
    assert "s3cret" not in str(away)
    assert away["models"].verdict in (Verdict.GOOD, Verdict.POOR)
    assert cli.main(["doctor", "--source", "63"]) == 1
    assert "!! camera" in capsys.readouterr().out


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_purpose_of_a_camera_with_a_web_address_is_looked_at(scheme: str) -> None:
    """Whether it is live shows when it is opened, which a run does."""
    source = f"{scheme}://127.0.0.1:{free_port()}/live.mjpeg"
    stated = found(source=source, purpose="welcome visitors")["purpose"]
    assert (stated.verdict, stated.words) == (Verdict.GOOD, "welcome visitors")
    unstated = found(source=source)["purpose"]
    assert unstated.verdict is Verdict.POOR
    assert "set purpose" in unstated.to_do


def test_the_lines_of_several_cameras_say_whose_they_are(tmp_path: Path) -> None:
    cameras = [{"source": "63", "source_name": "Front door", "purpose": "welcome visitors"}]
    config = load_config(None, {"cameras": cameras})
    lines = [doctor.as_lines(one) for one in findings(config)]
    assert lines[0] == "ok purpose Front door welcome visitors"
    assert lines[1].startswith("!! camera Front door /dev/video63: ")


def test_damaged_weights(tmp_path: Path) -> None:
    found_bad = found(source="demo", weights=tmp_path)["models"]
    assert found_bad.verdict is Verdict.BAD


@needs_broker
def test_a_broker_is_asked(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        from tests.broker import Listener

        Listener(broker.port).__exit__()  # it is up
        assert found(mqtt=f"127.0.0.1:{broker.port}")["broker"].verdict is Verdict.GOOD


def test_a_clock_without_a_battery_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.time, "time", lambda: 3600.0)
    one = doctor._clock(load_config(None, {}))
    assert one.verdict is Verdict.BAD
    assert "1970" in one.words
    assert "timedatectl" in one.to_do


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage("/")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    one = doctor._disk(load_config(None, {}))
    assert one.verdict is Verdict.POOR
    assert "1 MB free" in one.words


def test_what_a_look_meets_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Any) -> Finding:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(doctor, "_models", breaks)
    all_found = found(source="demo")
    assert "unforeseen" in all_found["models"].words
    assert "disk" in all_found
