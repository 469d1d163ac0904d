from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.unit.training.faces import made_faces, members, write_zip
from training.data.datasets import DataError
from training.data.judged import Judged
from training.export.local_model import load_classifier
from training.fit import classifier, classifier_trainer
from training.fit.classifier_trainer import ClassifierTrainer, load_run
from training.fit.prune import prunable
from training.models.condensed import learned_convolutions
from training.models.edgecnn import EdgeCNN
from training.models.residual_vgg19 import ResidualVGG19


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(classifier_trainer, "BATCH", 16)


def trainer(model: str, **options: object) -> ClassifierTrainer:
    train = Judged.by_fer2013(made_faces(64), 0.1)
    made = ClassifierTrainer(model, options.pop("run", model), train, None, **options)  # type: ignore[arg-type]
    made.planned = 2
    return made


def test_a_pruned_run_ends_with_as_many_zeros_in_weights_and_average() -> None:
    run = trainer("edgecnn", prune=0.5)
    run.fit({"public_test": Judged.by_fer2013(made_faces(8, seed=1))})
    for name in prunable(run.model):
        for weights in (run.model.state_dict(), run.average.weights):
            assert float((weights[f"{name}.weight"] == 0).float().mean()) == 0.5
    again = trainer("edgecnn", prune=0.5)
    assert again.resume()
    assert again.epochs_done == 2


def test_a_finished_run_is_not_taken_for_another() -> None:
    run = trainer("edgecnn")
    run.fit({})
    again = trainer("edgecnn")
    assert again.resume(epochs=2)
    with pytest.raises(ValueError, match=r"finished with epochs 2 \(now 5\)"):
        again.resume(epochs=5)
    with pytest.raises(ValueError, match=r"finished with model edgecnn \(now vgg19\)"):
        trainer("vgg19", run="edgecnn").resume()
    others = Judged.by_fer2013(made_faces(64, seed=2), 0.1)
    with pytest.raises(DataError, match="made of other faces"):
        ClassifierTrainer("edgecnn", "edgecnn", others, None).resume()


def test_edgecnn_g_condenses_while_it_learns_and_its_run_can_be_exported() -> None:
    run = trainer("edgecnn-g")
    run.fit({})
    assert all(one.stage == one.factor - 1 for one in learned_convolutions(run.model))
    rows = Path("training/runs/edgecnn-g/log.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [0, 1]


def test_a_run_goes_on_from_another_whatever_its_label_sets() -> None:
    run = trainer("edgecnn")
    run.fit({})
    network = EdgeCNN(2)
    load_run(network, "edgecnn")
    torch.testing.assert_close(network.stem[0].weight, run.average.weights["stem.0.weight"])
    with pytest.raises(ValueError, match="the run edgecnn is of another network"):
        load_run(ResidualVGG19(1), "edgecnn")
    with pytest.raises(ValueError, match="no checkpoint"):
        load_run(network, "nothing")


def test_a_run_of_one_label_set_is_no_model_of_a_device() -> None:
    trainer("edgecnn").fit({})
    with pytest.raises(ValueError, match="not of edgecnn with two label sets"):
        load_classifier("edgecnn", "edgecnn")


def test_a_bad_share_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = {"Training": made_faces(40), "PublicTest": made_faces(4, seed=1)}
    write_zip(tmp_path / "fer2013.zip", members(faces))
    line = ["--model", "edgecnn", "--data", str(tmp_path / "fer2013.zip"), "--prune", "2"]
    monkeypatch.setattr(sys, "argv", ["classifier", *line])
    with pytest.raises(SystemExit) as ended:
        classifier.main()
    assert ended.value.code == 2
    assert "to prune is from 0 to less than 1, not 2.0" in capsys.readouterr().err
