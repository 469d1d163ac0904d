from __future__ import annotations

import pytest
import torch

from tests.unit.training.faces import made_faces
from training.data.augment import enlarge
from training.fit.start_lite import blocks_of, maps_before, start_lite
from training.fit.teacher import Teacher
from training.models.bottleneck import DEFAULT_RATE
from training.models.ensemble import Ensemble
from training.models.split_model import SplitConfig, SplitModel

pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `teacher` is not installed")


def test_the_member_of_an_ensemble_gets_the_last_blocks_too() -> None:
    config = SplitConfig(cloud="ensemble", modules="none", stem="small")
    model, teacher = SplitModel(config), Teacher().eval()
    start_lite(model, teacher, enlarge(torch.from_numpy(made_faces(4).pictures), 112))
    assert isinstance(model.cloud_tail, Ensemble)
    lite = model.cloud_tail.members[0].eval()
    expected = maps = torch.randn(2, 24, 28, 28)
    with torch.no_grad():
        for block in teacher.net._blocks[3:]:
            expected = block(expected)
        torch.testing.assert_close(lite.blocks(maps), expected, atol=1e-4, rtol=1e-4)


def test_it_begins_as_what_its_teacher_makes_of_the_latents() -> None:
    torch.manual_seed(0)
    model, teacher = SplitModel(SplitConfig(cloud="lite")), Teacher()
    views = enlarge(torch.from_numpy(made_faces(24).pictures), 224)
    model.eval()
    with torch.no_grad():  # latents of a few steps, as a trained head gives them
        model.head.encoder.conv.weight /= model.head(views)[1].std() / 3
    start_lite(model, teacher, views)
    # Its blocks answer as the teacher's.
    maps = maps_before(teacher, views)
    expected = maps
    with torch.no_grad():
        for block in teacher.net._blocks[3:14]:
            expected = block(expected)
        got = model.cloud_tail.blocks(maps)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert len(blocks_of(teacher)) == len(model.cloud_tail.blocks.state_dict())

    # What the attention lets through is the nearest that a linear decoder can give.
    with torch.no_grad():
        y_hat = model.gains(model.head(views)[1], DEFAULT_RATE)[1]
        tail = model.cloud_tail

        def distance() -> float:
            return float((tail.attention(tail.decoder(y_hat)) - maps).square().sum())

        best = distance()
        assert best < (maps - maps.mean(dim=(0, 2, 3), keepdim=True)).square().sum()
        for _ in range(5):
            change = 0.02 * torch.randn_like(tail.decoder.conv.weight)
            tail.decoder.conv.weight += change
            assert distance() > best
            tail.decoder.conv.weight -= change
