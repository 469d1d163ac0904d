from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitfer.edge_client import cli
from splitfer.edge_client.commands.bench import (
    Measured,
    as_yaml,
    best_threads,
    measurements,
    recommended,
)
from splitfer.edge_client.config import EdgeConfig, load_config


def measured(threads: int, side_px: int, total_ms: float, face_ms: float = 10.0) -> Measured:
    return Measured(threads, side_px, total_ms / 2, face_ms / 2, face_ms / 2, total_ms, 3)


def test_more_threads_must_be_worth_it() -> None:
    found = [measured(1, 480, 50, 10.0), measured(2, 480, 48, 9.5), measured(4, 480, 60, 14.0)]
    assert best_threads(found) == 1
    assert best_threads([measured(1, 480, 50, 20.0), measured(2, 480, 40, 11.0)]) == 2


@pytest.mark.parametrize(
    ("frame_ms", "side_px", "deadline_ms"), [(100, 640, 120), (1000, 960, 300), (5, 320, 50)]
)
def test_the_finest_search_that_keeps_up(frame_ms: float, side_px: int, deadline_ms: float) -> None:
    found = [measured(1, 480, 50), measured(2, 480, 45), measured(1, 320, 20),
             measured(1, 640, 80), measured(1, 960, 200)]  # fmt: skip
    assert recommended(found, frame_ms) == {
        "threads": 1, "search_side_px": side_px, "deadline_ms": deadline_ms,
    }  # fmt: skip


def test_every_size_is_tried_with_the_best_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    tried = []

    def one(_: EdgeConfig, threads: int, side_px: int) -> Measured:
        tried.append((threads, side_px))
        return measured(threads, side_px, 50, 20 / threads)

    list(measurements(load_config(None, {}), one))
    assert tried == [(1, 480), (2, 480), (4, 480), (4, 320), (4, 640), (4, 960)]


def test_it_writes_a_config_file_and_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    file = tmp_path / "bench.yaml"
    assert cli.main(["bench", "--frames", "2", "--write", str(file)]) == 0
    config = load_config(file, {})
    assert config.threads == 1
    assert config.deadline_ms >= 50
    assert str(config.search_side_px) in capsys.readouterr().out
    before = file.read_text()
    assert cli.main(["bench", "--frames", "1", "--write", str(file)]) == 2
    assert file.read_text() == before
    assert as_yaml({"threads": 2}, []).endswith("threads: 2\n")
