from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from shared.contracts import Path as AnswerPath
from shared.models.ensemble import Ensemble
from shared.models.split_model import CloudTail, LocalTail, SplitModel
from shared.weights import Weights
from training.large_tail import LARGE_TAIL
from training.put_tail import put_tail


def test_an_ensemble_averages_probabilities() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self, probabilities: list[float]) -> None:
            super().__init__()
            self.logits = torch.tensor([probabilities]).log()

        def forward(self, y_hat: torch.Tensor) -> torch.Tensor:
            return self.logits

    both = Ensemble([Fixed([0.9, 0.1]), Fixed([0.2, 0.8])])(torch.zeros(1))
    torch.testing.assert_close(both.exp(), torch.tensor([[0.55, 0.45]]))


def test_a_tail_is_added_and_the_rest_stands_still(
    weights_copy: Path, split_model: SplitModel
) -> None:
    before = Weights(weights_copy)
    head = (weights_copy / "head.onnx").read_bytes()
    torch.manual_seed(5)
    other = CloudTail(split_model.config).eval()
    put_tail(weights_copy, LARGE_TAIL, Ensemble([split_model.cloud_tail, other]), "two runs")

    after = Weights(weights_copy)
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert after.manifest.origin == {**before.manifest.origin, LARGE_TAIL: "two runs"}
    assert after.manifest.default_tail == before.manifest.default_tail
    assert (weights_copy / "head.onnx").read_bytes() == head
    for name in ("local", "cloud", LARGE_TAIL):
        after.tail(name, 1)  # passes its golden check
    large = after.golden.logits[LARGE_TAIL]
    assert not np.allclose(large, after.golden.logits["cloud"])


def test_a_local_tail_takes_the_place_of_the_one_before(
    weights_copy: Path, split_model: SplitModel
) -> None:
    before = Weights(weights_copy)
    golden = before.golden  # read before it is written anew
    torch.manual_seed(6)
    put_tail(weights_copy, "local", LocalTail(7), "another run")

    after = Weights(weights_copy)
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert after.manifest.tails.keys() == before.manifest.tails.keys()
    assert after.manifest.tails["local"].path is AnswerPath.LOCAL
    after.tail("local", 1)  # passes its golden check
    assert not np.allclose(after.golden.logits["local"], golden.logits["local"])
    assert np.array_equal(after.golden.logits["cloud"], golden.logits["cloud"])
