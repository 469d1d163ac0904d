from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.export.put_tail import check_heads, mean_of
from training.models.split_model import SplitConfig, SplitModel


def made(seed: int, cloud: str = "shufflenet") -> SplitModel:
    torch.manual_seed(seed)
    return SplitModel(SplitConfig(cloud=cloud)).eval()


def test_the_mean_of_runs_has_the_mean_of_their_weights_and_statistics() -> None:
    first, second = made(1), made(2)
    norm = "local_tail.conv5.1.running_mean"
    second.state_dict()[norm].fill_(4.0)
    expected = {
        name: (tensor + second.state_dict()[name]) / 2
        for name, tensor in first.state_dict().items()
        if tensor.is_floating_point()
    }
    assert expected[norm].unique().tolist() == [2.0]
    mean = mean_of([first, second]).state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(mean[name], tensor)


def test_one_run_is_its_own_mean() -> None:
    before = {name: tensor.clone() for name, tensor in made(1).state_dict().items()}
    after = mean_of([made(1)]).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_runs_of_different_networks_have_no_mean() -> None:
    with pytest.raises(ValueError, match="different networks"):
        mean_of([made(1), made(1, "lite")])


def test_tails_of_another_head_are_not_put(weights_folder: Path, split_model: SplitModel) -> None:
    check_heads(weights_folder, ["one", "two"], [split_model, split_model])
    with pytest.raises(ValueError, match="the run two has another head"):
        check_heads(weights_folder, ["one", "two"], [split_model, made(1)])
