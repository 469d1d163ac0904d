"""The installer of the service, under a folder in place of the system's root, and its unit."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from splitfer.edge_client.config import load_config

ROOT = Path(__file__).parents[2]
SCRIPT, UNIT = ROOT / "deploy" / "edge-install.sh", ROOT / "deploy/systemd/splitfer-edge@.service"


def install(prefix: Path, *words: str, code: int = 0) -> str:
    venv = prefix / "opt/splitfer-edge/.venv/bin"
    if not words:
        venv.mkdir(parents=True, exist_ok=True)
        (venv / "python").touch(0o755)  # the packages are not what is tested here
    environment = {**os.environ, "PREFIX": str(prefix), "SKIP_PIP": "yes"}
    done = subprocess.run(
        ["sh", str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def files(prefix: Path) -> dict[str, str]:
    return {
        str(path.relative_to(prefix)): path.read_text()
        for path in sorted(prefix.rglob("*"))
        if path.is_file() and "docs" not in path.parts and not path.is_symlink()
    }


def test_again_it_changes_nothing_and_keeps_what_was_configured(tmp_path: Path) -> None:
    assert "state the purpose" in install(tmp_path)
    settings = tmp_path / "etc/splitfer-edge/camera.yaml"
    secrets = settings.with_suffix(".env")
    assert secrets.stat().st_mode & 0o077 == 0
    settings.write_text("source: 1\npurpose: a test\n")
    secrets.write_text("SPLITFER_EDGE_MQTT_PASSWORD=mine\n")
    first = files(tmp_path)
    (tmp_path / "etc/systemd/system/splitfer-edge@.service").write_text("an older one")
    assert "state the purpose" not in install(tmp_path)
    assert files(tmp_path) == first


def test_it_can_be_taken_off_and_leaves_what_is_the_owners(tmp_path: Path) -> None:
    install(tmp_path)
    others = tmp_path / "etc" / "splitfer" / "cloud.yaml"
    others.parent.mkdir()
    others.write_text("token: a\n")
    state = tmp_path / "var/lib/splitfer-edge/camera"
    state.mkdir()
    (state / "outbox.db").write_text("answers")
    install(tmp_path, "uninstall")
    left = set(files(tmp_path))
    assert left == {
        "etc/splitfer/cloud.yaml",
        "etc/splitfer-edge/camera.yaml",
        "etc/splitfer-edge/camera.env",
        "var/lib/splitfer-edge/camera/outbox.db",
    }
    assert not (tmp_path / "usr/local/bin/edge-client").is_symlink()
    install(tmp_path, "uninstall", "--purge")
    assert set(files(tmp_path)) == {"etc/splitfer/cloud.yaml"}
    install(tmp_path, "uninstall")  # and again


def test_what_was_enabled_is_no_longer(tmp_path: Path) -> None:
    install(tmp_path)
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for name in ("splitfer-edge@camera", "splitfer-edge@front door", "other@camera"):
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name.split('@')[0]}@.service")
    install(tmp_path, "uninstall")
    assert [one.name for one in wants.iterdir()] == ["other@camera.service"]


def test_an_unknown_word_does_nothing(tmp_path: Path) -> None:
    assert "unknown word" in install(tmp_path, "remove", code=1)
    assert not list(tmp_path.iterdir())


def test_the_example_is_of_settings_there_are(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "edge-example.yaml").read_text()
    file = tmp_path / "all.yaml"
    # Those that are commented out, but for one that goes without a server.
    optional = re.findall(r"^# ((?!privacy)[a-z_]+: .+)$", example, re.MULTILINE)
    assert len(optional) >= 5
    file.write_text(example + "\n".join(optional) + "\n")
    config = load_config(file, {})
    assert (config.source, config.listen) == ("0", "127.0.0.1:8600")
    assert config.purpose


def unit() -> configparser.SectionProxy:
    class Parser(configparser.RawConfigParser):
        optionxform = staticmethod(str)  # type: ignore[assignment]

    parser = Parser(strict=False)
    parser.read(UNIT)
    return parser["Service"]


def test_the_unit_is_watched_and_confined() -> None:
    service = unit()
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 60
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"].split() == ["2", "4"]
    assert service["User"] != "root"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd"
)
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "splitfer-edge-door.service"
    path.write_text(UNIT.read_text())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(path)],
        capture_output=True,
        text=True,
    )
    # 3.0 of 10 or less: what systemd calls well confined.
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert "Unknown" not in done.stderr, done.stderr
