from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from splitfer.shared.contracts import FEATURES_SHAPE, AnswerPath
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from tests.unit.training.small_tail import SmallTail
from training.export.large_tail import LARGE_TAIL
from training.export.put_tail import put_tail
from training.models.ensemble import Ensemble

BOTH = ("crowd", "fer2013")


def test_an_ensemble_averages_probabilities() -> None:
    class Fixed(nn.Module):
        def __init__(self, probabilities: list[float]) -> None:
            super().__init__()
            self.logits = torch.tensor([probabilities]).log()

        def forward(self, y_hat: torch.Tensor) -> torch.Tensor:
            return self.logits

    rest = [0.0] * 5
    both = Ensemble([Fixed([0.9, 0.1, *rest]), Fixed([0.2, 0.8, *rest])]).eval()(torch.zeros(1))
    torch.testing.assert_close(both.exp(), torch.tensor([[0.55, 0.45, *rest]]), atol=1e-6, rtol=0)


def test_a_tail_is_added_and_the_rest_stands_still(weights_copy: Path) -> None:
    before = Weights(weights_copy)
    head = (weights_copy / "head.onnx").read_bytes()
    put_tail(weights_copy, LARGE_TAIL, Ensemble([SmallTail(5), SmallTail(6)]), "two runs")

    after = Weights(weights_copy)
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert after.manifest.origin == {**before.manifest.origin, LARGE_TAIL: "two runs"}
    assert after.manifest.default_tail == before.manifest.default_tail
    assert (weights_copy / "head.onnx").read_bytes() == head
    for name in ("local", "cloud", LARGE_TAIL):
        after.tail(name, 1)  # passes its golden check
    large, cloud = (after.golden.logits[name] for name in (LARGE_TAIL, "cloud"))
    assert not np.allclose(large[LabelSet.FER2013], cloud[LabelSet.FER2013])


def test_a_local_tail_takes_the_place_of_the_one_before(weights_copy: Path) -> None:
    before = Weights(weights_copy)
    golden = before.golden  # read before it is written anew
    small = SmallTail(6, channels=FEATURES_SHAPE[0])
    put_tail(weights_copy, "local", small, "another run")

    after = Weights(weights_copy)
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert after.manifest.tails.keys() == before.manifest.tails.keys()
    assert after.manifest.tails["local"].path is AnswerPath.LOCAL
    after.tail("local", 1)  # passes its golden check
    one = LabelSet.FER2013
    assert not np.allclose(after.golden.logits["local"][one], golden.logits["local"][one])
    assert np.array_equal(after.golden.logits["cloud"][one], golden.logits["cloud"][one])


def test_tails_of_both_label_sets_take_the_place_of_those_with_one(weights_copy: Path) -> None:
    put_tail(weights_copy, "cloud", SmallTail(5, 2), "another run", BOTH)
    half = Weights(weights_copy)
    assert half.manifest.label_sets == (LabelSet.FER2013,), "the local tail has no other yet"
    assert half.tail("cloud", 1).label_sets == tuple(LabelSet)  # passes its golden check
    local = SmallTail(6, 2, channels=FEATURES_SHAPE[0])
    put_tail(weights_copy, "local", local, "another run", BOTH)
    whole = Weights(weights_copy)
    assert (whole.manifest.label_sets, whole.manifest.default_label_set) == (
        tuple(LabelSet),
        "crowd",
    )
    whole.tail("local", 1)
    put_tail(weights_copy, "cloud", SmallTail(7, 2), "again", BOTH)
    Weights(weights_copy).tail("cloud", 1)


def test_an_ensemble_answers_both_label_sets(crowd_weights_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(crowd_weights_folder, tmp_path / crowd_weights_folder.name))
    put_tail(folder, LARGE_TAIL, Ensemble([SmallTail(5, 2), SmallTail(6, 2)]), "two runs", BOTH)
    weights = Weights(folder)
    assert weights.tail(LARGE_TAIL, 1).label_sets == tuple(LabelSet)  # passes its golden check
    for logits in weights.golden.logits[LARGE_TAIL].values():
        np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, rtol=1e-5)


def test_a_tail_with_other_logits_than_its_label_sets_is_refused(weights_copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in weights_copy.iterdir()}
    with pytest.raises(ValueError, match="a tail of fer2013 has 7 logits, not 14"):
        put_tail(weights_copy, "cloud", SmallTail(5, 2), "another run")
    assert {path.name: path.read_bytes() for path in weights_copy.iterdir()} == before
