from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitfer.edge_client.cli import main
from splitfer.edge_client.settings.variables_file import take_variables
from splitfer.shared.errors import ConfigError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPLITFER_EDGE_MQTT_PASSWORD", "SPLITFER_EDGE_TOKEN", "SPLITFER_EDGE_DEVICE_ID"):
        monkeypatch.setenv(name, "")  # so that it is put back
        del os.environ[name]


def test_variables_are_as_systemd_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "camera.env"
    file.write_text(
        "# comment\n; another\n\nSPLITFER_EDGE_MQTT_PASSWORD=pa$$ #word=1\n"
        "SPLITFER_EDGE_TOKEN='quo ted'\n"
    )
    take_variables(file)
    assert os.environ["SPLITFER_EDGE_MQTT_PASSWORD"] == "pa$$ #word=1"
    assert os.environ["SPLITFER_EDGE_TOKEN"] == "quo ted"


def test_what_is_set_already_stays(tmp_path: Path) -> None:
    os.environ["SPLITFER_EDGE_DEVICE_ID"] = "hall"
    file = tmp_path / "camera.env"
    file.write_text("SPLITFER_EDGE_DEVICE_ID=garden\n")
    take_variables(file)
    assert os.environ["SPLITFER_EDGE_DEVICE_ID"] == "hall"


@pytest.mark.parametrize("content", [b"only-a-secret\n", b"a b=secret\n", b"\xff=secret\n"])
def test_a_wrong_line_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "camera.env"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--env-file .*camera\.env") as caught:
        take_variables(file)
    assert "secret" not in str(caught.value)


def test_the_doctor_has_the_services_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "camera.env"
    file.write_text("SPLITFER_EDGE_DEVICE_ID=hall\nSPLITFER_EDGE_TOKEN=hush-hush\n")
    assert main(["doctor", "--env-file", str(file), "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert "device_id: hall" in printed
    assert "hush" not in printed
    assert main(["doctor", "--env-file", str(tmp_path / "nowhere.env")]) == 2
    assert "nowhere.env" in capsys.readouterr().err
