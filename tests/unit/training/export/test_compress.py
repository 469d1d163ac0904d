from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from splitfer.shared.labels import LabelSet
from splitfer.shared.weights.runtime import Tail
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training import __main__ as training_main
from training.data.judged import Judged
from training.export import compress
from training.export.compress import lost
from training.fit import classifier_trainer
from training.fit.classifier_trainer import ClassifierTrainer

FACES = {"Training": made_faces(60), "PublicTest": made_faces(20, seed=1, first_id=60)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(classifier_trainer, "BATCH", 16)
    write_zip(tmp_path / "fer2013.zip", members(FACES))
    write_votes(tmp_path / "votes.csv", FACES)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    line = [
        "training",
        "compress",
        "--data",
        "fer2013.zip",
        "--votes",
        "votes.csv",
        "--rounds",
        "2",
    ]
    monkeypatch.setattr(sys, "argv", [*line, *arguments])
    return training_main.main()


@pytest.mark.parametrize(
    ("model", "form"), [("backbone", "float16"), ("edgecnn", "int8"), ("edgecnn", "int8-static")]
)
def test_models_of_the_weights_say_what_was_lost_and_gained(
    model: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--model", model, "--prune", "0.5", "--quantize", form, "--out", "small.onnx"]
    assert run(monkeypatch, *line, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    before, after = found["size"]["before"], found["size"]["after"]
    assert after["bytes"] == Path("small.onnx").stat().st_size < before["bytes"]
    assert after["packed_bytes"] < 0.6 * before["packed_bytes"]
    assert after["zeros"] > 0.4 > before["zeros"]
    assert found["latency_ms"].keys() == {"before", "after"}
    assert found["accuracy"]["fer2013"]["n"] == 20
    assert 0 < found["accuracy"]["crowd"]["n"] < 20
    crops = compress.crops_of(FACES["PublicTest"].pictures)
    assert set(Tail(Path("small.onnx").read_bytes(), 1).all_logits(crops)) == set(LabelSet)


@pytest.mark.timeout(600)  # two exports
def test_the_classifier_of_a_run_is_pruned_while_it_learns_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.data.votes import load_votes

    torch.manual_seed(0)
    faces = FACES["Training"]
    train = Judged.by_both(faces, load_votes(Path("votes.csv"), faces, "Training"))
    trainer = ClassifierTrainer("edgecnn", "mine", train, None)
    trainer.planned = 1
    trainer.fit({})
    line = ["--model", "edgecnn", "--run", "mine", "--prune", "0.5", "--epochs", "1"]
    assert run(monkeypatch, *line) == 0
    text = capsys.readouterr().out
    assert "edgecnn, pruned by 50%, float32" in text
    assert "zeros among weights" in text
    assert Path(".checkpoints/mine-pruned-0.5/last.pt").is_file()


def test_what_is_lost_is_counted_on_the_faces_that_count() -> None:
    judged = Judged.by_fer2013(made_faces(100))
    judged.labels[LabelSet.FER2013][:20] = -1
    labels = judged.labels[LabelSet.FER2013]
    before, after = labels.copy(), labels.copy()
    after[40:60] = (labels[40:60] + 1) % 7
    found = lost({LabelSet.FER2013: before}, {LabelSet.FER2013: after}, judged)["fer2013"]
    assert (found["n"], found["before"], found["after"]) == (80, 1.0, 0.75)
    assert found["difference"] == -0.25
    low, high = found["interval_95"]
    assert low < -0.25 < high < 0
    assert found["other_answers"] == 0.2
    same = lost({LabelSet.FER2013: before}, {LabelSet.FER2013: before}, judged)["fer2013"]
    assert same["interval_95"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "nope"], 2, "no 'nope'; there are backbone"),
        (["--model", "edgecnn", "--prune", "1"], 2, "from 0 to less than 1, not 1.0"),
        (["--model", "edgecnn", "--epochs", "2"], 2, "name it with --run"),
        (["--model", "vgg19", "--run", "none"], 2, "no checkpoint"),
        (["--model", "edgecnn", "--data", "no.zip"], 3, "no data set at no.zip"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        found = run(monkeypatch, *arguments)
    except SystemExit as ended:
        found = ended.code  # type: ignore[assignment]
    assert found == code
    assert said in capsys.readouterr().err
