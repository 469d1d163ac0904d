from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from splitfer.shared.weights import Weights
from training.export import add_tail
from training.export.add_tail import add_tail as add
from training.models.split_model import SplitModel


@pytest.fixture
def crowd_weights_copy(crowd_weights_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crowd_weights_folder, tmp_path / crowd_weights_folder.name))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowd_model: SplitModel) -> list[str]:
    """Two finished runs on one head, whose tails differ."""
    monkeypatch.setattr(add_tail, "CHECKPOINTS", tmp_path)
    for seed, name in enumerate(("one", "two")):
        state = {key: tensor.clone() for key, tensor in crowd_model.state_dict().items()}
        noise = torch.Generator().manual_seed(seed)
        classifier = state["cloud_tail.trunk.classifier.bias"]
        classifier += torch.randn(classifier.shape, generator=noise)
        (tmp_path / name).mkdir()
        torch.save({"model": state}, tmp_path / name / "last.pt")
    return ["one", "two"]


def test_a_tail_of_several_runs_answers_their_mean_and_becomes_the_default(
    crowd_weights_copy: Path, runs: list[str]
) -> None:
    for name in runs:
        add(crowd_weights_copy, name, [name], default=False)
    add(crowd_weights_copy, "both", runs, default=True)
    weights = Weights(crowd_weights_copy)
    assert weights.manifest.default_tail == "both"
    latents, steps = weights.golden.latents, weights.quantiser.steps(weights.rate_index(""))
    answers = {}
    for name in (*runs, "both"):
        logits = weights.tail(name, 1).all_logits(latents, steps)
        answers[name] = {
            key: np.exp(rows - rows.max(1, keepdims=True)) for key, rows in logits.items()
        }
    for key in answers["both"]:
        shares = [answers[name][key] / answers[name][key].sum(1, keepdims=True) for name in answers]
        np.testing.assert_allclose(shares[2], (shares[0] + shares[1]) / 2, atol=1e-4)


def test_a_run_of_another_head_changes_nothing(
    crowd_weights_copy: Path, runs: list[str], tmp_path: Path
) -> None:
    state = torch.load(tmp_path / "two/last.pt")
    state["model"]["head.encoder.conv.weight"] += 1
    torch.save(state, tmp_path / "two/last.pt")
    before = (crowd_weights_copy / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="two has another head"):
        add(crowd_weights_copy, "both", runs, default=True)
    assert (crowd_weights_copy / "manifest.json").read_bytes() == before
