from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from splitfer.shared.weights import Weights
from training.export import add_tail
from training.export.add_tail import add_tail as add
from training.export.onnx import by_label_set
from training.fit.tails_teacher import load_split_model
from training.models.bottleneck import dequantise
from training.models.split_model import SplitConfig, SplitModel


@pytest.fixture
def crowd_weights_copy(crowd_weights_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crowd_weights_folder, tmp_path / crowd_weights_folder.name))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowd_model: SplitModel) -> list[str]:
    """Two finished runs on one head whose tails differ, of the network that is exported soonest."""
    monkeypatch.setattr(add_tail, "CHECKPOINTS", tmp_path)
    rest = {
        key: tensor
        for key, tensor in crowd_model.state_dict().items()
        if not key.startswith("cloud_tail.")
    }
    labels = crowd_model.config.label_sets
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        model = SplitModel(SplitConfig(label_sets=labels, cloud="residual", modules="none"))
        torch.nn.init.normal_(model.cloud_tail.classifier.bias)
        (tmp_path / name).mkdir()
        torch.save({"model": model.state_dict() | rest}, tmp_path / name / "last.pt")
    return ["one", "two"]


def test_a_tail_of_several_runs_answers_their_mean_and_becomes_the_default(
    crowd_weights_copy: Path, runs: list[str]
) -> None:
    before = Weights(crowd_weights_copy).manifest.default_tail
    add(crowd_weights_copy, "one", ["one"], default=False)
    assert Weights(crowd_weights_copy).manifest.default_tail == before
    add(crowd_weights_copy, "both", runs, default=True)
    weights = Weights(crowd_weights_copy)
    assert weights.manifest.default_tail == "both"
    latents, steps = weights.golden.latents, weights.quantiser.steps(weights.rate_index(""))
    logits = {name: weights.tail(name, 1).all_logits(latents, steps) for name in ("one", "both")}
    y_hat = torch.from_numpy(latents).float()
    y_hat = dequantise(y_hat, torch.from_numpy(steps).expand(len(latents), -1))
    models = [load_split_model(add_tail.CHECKPOINTS / run / "last.pt") for run in runs]
    with torch.no_grad():
        flat = [model.cloud_tail(y_hat).numpy() for model in models]
    learnt = [by_label_set(rows, models[0].config.label_sets) for rows in flat]
    for key in logits["both"]:
        first, second = (softmax(rows[key]) for rows in learnt)
        assert not np.allclose(first, second, atol=0.01)
        np.testing.assert_allclose(softmax(logits["one"][key]), first, atol=1e-4)
        np.testing.assert_allclose(softmax(logits["both"][key]), (first + second) / 2, atol=1e-4)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


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
