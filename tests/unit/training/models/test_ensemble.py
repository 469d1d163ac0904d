from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.fit.checkpoint import load_weights
from training.models.ensemble import Ensemble
from training.models.split_model import SplitConfig, SplitModel


class Corner(nn.Module):
    """Answers by the upper left value alone, which mirroring changes."""

    def forward(self, y_hat: Tensor) -> Tensor:
        return y_hat[:, 0, 0, :1] * torch.arange(14.0)


def test_a_mirrored_ensemble_is_the_mean_over_members_and_mirror_images() -> None:
    y_hat = torch.randn(5, 8, 28, 28)
    ensemble = Ensemble([Corner(), nn.Sequential(Corner(), nn.Hardtanh())], mirrored=True).eval()
    expected = torch.zeros(5, 2, 7)
    for member in ensemble.members:
        for view in (y_hat, y_hat.flip(3)):
            expected += member(view).view(5, 2, 7).softmax(dim=2) / 4
    torch.testing.assert_close(ensemble(y_hat).view(5, 2, 7).exp(), expected)


def test_in_training_each_member_answers_alone_and_half_of_the_latents_are_mirrored() -> None:
    torch.manual_seed(0)
    y_hat = torch.zeros(400, 8, 28, 28)
    y_hat[..., 0] = 1
    logits = Ensemble([Corner(), Corner()], mirrored=True).train()(y_hat)
    assert logits.shape == (800, 14)
    assert torch.equal(logits[:400], logits[400:])
    assert float(logits[:400, 1].mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("cloud", "place"), [("residual", 1)])
def test_a_tail_goes_on_as_the_member_of_its_kind(cloud: str, place: int, tmp_path: Path) -> None:
    alone = SplitModel(SplitConfig(cloud=cloud, modules="none"))
    torch.save({"model": alone.state_dict()}, tmp_path / "last.pt")
    model = SplitModel(SplitConfig(cloud="ensemble", modules="none"))
    load_weights(model, tmp_path / "last.pt")
    assert isinstance(model.cloud_tail, Ensemble)
    for name, tensor in model.cloud_tail.members[place].state_dict().items():
        assert torch.equal(tensor, alone.cloud_tail.state_dict()[name]), name


def test_it_has_at_most_six_million_parameters() -> None:
    tail = SplitModel(SplitConfig(cloud="ensemble", modules="none")).cloud_tail
    assert sum(p.numel() for p in tail.parameters()) <= 6_000_000
