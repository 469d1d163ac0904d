from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.updates.judge import NotJudged, judge
from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.weights import default_folder

CONFIG = EdgeConfig()


def python_that(folder: Path, script: str) -> str:
    """A program in Python's place."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_right_ones_pass_and_altered_ones_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    shutil.copytree(default_folder(), folder)
    (folder / "cloud.onnx").unlink()  # which a device does not have
    judge(folder, CONFIG)
    (folder / "local.onnx").write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"local\.onnx"):
        judge(folder, CONFIG)


def test_what_the_settings_name_and_they_lack_is_no_fault_of_theirs() -> None:
    with pytest.raises(ConfigError, match="no 'finest'"):
        judge(default_folder(), EdgeConfig(rate="finest"))


@pytest.mark.parametrize("script", ["kill -9 $$", "exit 1", "exit 127"])
def test_a_device_without_memory_has_no_verdict(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, script))
    with pytest.raises(NotJudged):
        judge(default_folder(), CONFIG)


@pytest.mark.parametrize("limit_mb", [40, 120, 160, 200, 240, 280, 320])
def test_too_little_memory_is_no_verdict(
    limit_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = f'ulimit -v {limit_mb * 1000}; exec "{sys.executable}" "$@"'
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, limited))
    with suppress(NotJudged):
        judge(default_folder(), CONFIG)
        assert limit_mb > 100


def test_weights_that_crash_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "kill -SEGV $$"))
    with pytest.raises(WeightsError, match="signal 11"):
        judge(default_folder(), CONFIG)


def test_it_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "exec sleep 600"))
    with pytest.raises(NotJudged, match="longer"):
        judge(default_folder(), CONFIG, patience_s=0.01)
    judge(default_folder(), CONFIG, stopped=lambda: True)  # nobody waits for it
