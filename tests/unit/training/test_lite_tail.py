from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from shared.models.bottleneck import DEFAULT_RATE
from tests.unit.training.faces import made_faces
from training.augment import enlarge
from training.lite_tail import LiteModel, maps_before, start_lite
from training.onnx_models import export_cloud_tail
from training.teacher import Teacher

pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `teacher` is not installed")


def test_it_begins_as_what_its_teacher_makes_of_the_latents() -> None:
    torch.manual_seed(0)
    model, teacher = LiteModel(), Teacher()
    views = enlarge(torch.from_numpy(made_faces(24).pictures), 224)
    model.eval()
    with torch.no_grad():  # latents of a few steps, as a trained head gives them
        model.head.encoder.conv.weight /= model.head(views)[1].std() / 3
    start_lite(model, teacher, views)
    for name, tensor in model.cloud_tail.blocks.state_dict().items():
        assert torch.equal(tensor, teacher.net._blocks[3:14].state_dict()[name]), name

    # What the attention lets through is the nearest that a linear decoder can give.
    maps = maps_before(teacher, views)
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


def test_head_and_tail_have_at_most_two_million_parameters() -> None:
    model = LiteModel()
    parts = (model.head, model.cloud_tail)
    assert sum(p.numel() for part in parts for p in part.parameters()) <= 2_000_000


def test_it_is_exported_like_any_cloud_tail() -> None:
    model = LiteModel().eval()
    symbols = torch.randint(120, 137, (3, 8, 28, 28), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(export_cloud_tail(model.cloud_tail))
    step = np.full((3, 8), 0.5, np.float32)
    (logits,) = session.run(None, {"latent": symbols.numpy(), "step": step})
    with torch.no_grad():
        expected = model.cloud_tail((symbols.float() - 128) * 0.5)
    assert logits == pytest.approx(expected.numpy(), abs=1e-4)
