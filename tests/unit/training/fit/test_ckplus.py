from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.faces import made_faces
from training import pipeline
from training.data.datasets import DATA_VARIABLE
from training.fit import ckplus, classifier_trainer

PIPELINE = Path("training/pipelines/vgg19-ckplus.toml").resolve()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(classifier_trainer, "BATCH", 16)
    faces = made_faces(48)
    people = np.array([f"S{one % 8:03}" for one in range(48)])
    np.savez(tmp_path / "ck.npz", pictures=faces.pictures, labels=faces.labels, subjects=people)
    return f"ckplus:{tmp_path / 'ck.npz'}"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ckplus", *arguments])
    return ckplus.main()


@pytest.mark.timeout(300)
def test_folds_are_trained_tested_and_kept_and_not_done_again(
    data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--data", data, "--model", "edgecnn", "--folds", "2", "--epochs", "1"]
    assert run(monkeypatch, *line) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["split"], found["people"], found["pictures"]) == ("subjects", 8, 48)
    assert [fold["n"] for fold in found["folds"]] == [24, 24]
    assert found["single"] == pytest.approx(sum(one["single"] for one in found["folds"]) / 48, 1e-4)
    kept = json.loads(Path("training/runs/edgecnn-ckplus-subjects/folds.json").read_text())
    assert kept == found
    rows = Path("training/runs/edgecnn-ckplus-subjects/fold-0/log.jsonl")
    before = rows.read_text()
    assert run(monkeypatch, *line) == 0
    assert rows.read_text() == before
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--folds", "9"], 3, "8 people cannot be split into 9 folds"),
        (["--folds", "1"], 2, "two at least"),
        (["--data", "ckplus:/nowhere"], 3, "no data set at /nowhere"),
        (["--start-from", "nothing", "--folds", "2"], 2, "no checkpoint"),
    ],
)
def test_errors_are_one_line(
    data: str,
    arguments: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        found: object = run(monkeypatch, "--data", data, "--model", "edgecnn", *arguments)
    except SystemExit as ended:
        found = ended.code
    assert found == code
    assert said in capsys.readouterr().err


def test_the_pipeline_gives_its_steps_the_data_and_the_folds(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(pipeline, "run_module", lambda words: ran.append(words) or {})
    monkeypatch.setenv(DATA_VARIABLE, "")
    line = ["run", str(PIPELINE), "--data", data, "--folds", "5"]
    monkeypatch.setattr(sys, "argv", line)
    assert pipeline.main() == 0
    assert [words[0] for words in ran] == ["training.fit.ckplus"] * 2
    for words, split in zip(ran, ("subjects", "images"), strict=True):
        assert words[words.index("--folds") + 1] == "5"
        assert words[words.index("--split") + 1] == split
    assert os.environ[DATA_VARIABLE] == data
    monkeypatch.setattr(sys, "argv", ["run", str(PIPELINE), "--data", "ckplus:/nowhere"])
    assert pipeline.main() == 3
