from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.models.kept import kept_models, logged_accuracy, with_kept_models
from splitfer.shared.weights import Weights, default_folder
from training.models.family import CLASSIFIERS


class Tiny(nn.Module):
    def __init__(self, label_sets: int = 1) -> None:
        super().__init__()
        self.classifier = nn.Linear(4, 7 * label_sets)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pictures[:, 0, 20:22, 20:22].flatten(1) / 255)
        return logits


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(CLASSIFIERS, "tiny", Tiny)
    monkeypatch.chdir(tmp_path)
    run = Path("training/runs/tiny")
    run.mkdir(parents=True)
    torch.save({"model": Tiny(2).half().state_dict()}, run / "weights.pt")
    rows = [{"public_test": {"crowd": share, "fer2013": share / 2}} for share in (0.25, 0.5)]
    (run / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return run.parent


def test_a_kept_classifier_stands_beside_those_of_the_weights(runs: Path) -> None:
    weights = Weights(default_folder())
    assert "tiny" in kept_models(weights)
    assert logged_accuracy("tiny") == {"crowd": 0.5, "fer2013": 0.25}
    with with_kept_models(weights) as every:
        assert every.manifest.local_models.keys() > weights.manifest.local_models.keys()
        tail = every.tail(every.local_tail("tiny"), 1)
        assert tail.all_logits(every.golden.crops[:, None]).keys() == {"crowd", "fer2013"}
    assert not every.folder.exists()
    assert "tiny" not in Weights(default_folder()).manifest.local_models


def test_without_kept_runs_the_weights_are_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = Weights(default_folder())
    with with_kept_models(weights) as every:
        assert every is weights
    assert logged_accuracy("tiny") == {}
