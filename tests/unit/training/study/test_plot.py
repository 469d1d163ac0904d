from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from training.study import plot
from training.study.plot import read_log


def row(stage: int, epoch: int, loss: float = 1.5) -> str:
    tails = {"local": 0.4} if stage == 0 else {"local": 0.5, "cloud": 0.45}
    return json.dumps({
        "stage": stage, "epoch": epoch, "size": 96 + 32 * stage, "loss": loss, "seconds": 1.0,
        "lr": 0.1, "holdout": tails, "public_test": tails,
    })  # fmt: skip


def write(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("\n".join(lines))
    return folder / "log.jsonl"


def test_a_repeated_row_counts_once_and_a_cut_one_not_at_all(tmp_path: Path) -> None:
    start = '{"resumed": false}'
    log = write(tmp_path, start, row(0, 0), row(0, 1, 9.0), start, row(0, 1), row(1, 0), '{"stag')
    rows = read_log(log)
    assert [(r["stage"], r["epoch"], r["loss"]) for r in rows] == [
        (0, 0, 1.5), (0, 1, 1.5), (1, 0, 1.5),
    ]  # fmt: skip


def test_the_command_draws_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "small", row(0, 0), row(0, 1), row(1, 0), row(1, 1))
    monkeypatch.setattr(sys, "argv", ["plot", "--run", "small", "--runs", str(tmp_path)])
    assert plot.main() == 0
    with Image.open(tmp_path / "small/curve.png") as image:
        assert image.size > (800, 600)


@pytest.mark.parametrize("tails", [("crowd", "fer2013"), ("teacher_crowd", "teacher_fer2013")])
def test_a_run_of_one_stage_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tails: tuple[str, ...]
) -> None:
    part = dict.fromkeys(tails, 0.5)
    write(
        tmp_path / "small",
        *(
            json.dumps({"epoch": epoch, "loss": 2.0, "holdout": part, "public_test": part})
            for epoch in range(3)
        ),
    )
    monkeypatch.setattr(sys, "argv", ["plot", "--run", "small", "--runs", str(tmp_path)])
    assert plot.main() == 0
    assert (tmp_path / "small/curve.png").exists()


def test_every_run_here_can_be_drawn() -> None:
    logs = sorted(plot.RUNS.glob("*/log.jsonl"))
    assert len(logs) > 20
    for log in logs:
        for row in read_log(log):
            assert set(row["holdout"]) <= set(plot.COLOURS), log


@pytest.mark.parametrize("lines", [[], ['{"resumed": false}']])
def test_a_log_without_an_epoch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: list[str],
) -> None:
    write(tmp_path / "new", *lines)
    monkeypatch.setattr(sys, "argv", ["plot", "--run", "new", "--runs", str(tmp_path)])
    assert plot.main() == 3
    assert "holds no epoch yet" in capsys.readouterr().err


def test_a_run_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plot", "--run", "none", "--runs", str(tmp_path)])
    assert plot.main() == 3
    assert "No such file" in capsys.readouterr().err
