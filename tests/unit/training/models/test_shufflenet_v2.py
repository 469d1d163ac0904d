from __future__ import annotations

import pytest
import torch
from torch import nn

from training.models.shufflenet_v2 import ShuffleUnit, Stem, Trunk, channel_shuffle

GOLDEN = [
    [-0.1552, -0.3353, -0.1405, -0.1984, 0.1957, 0.0493, 0.0948],
    [-0.0707, -0.3455, 0.1306, 0.0634, -0.1278, -0.0102, -0.1290],
]


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def unit(c_in: int, c_out: int, stride: int) -> int:
    """Parameters of a unit by hand; each batch normalisation has two a channel."""
    half = c_out // 2
    into = c_in if stride == 2 else half
    branch = into * half + 2 * half + 9 * half + 2 * half + half * half + 2 * half
    shortcut = 9 * c_in + 2 * c_in + c_in * half + 2 * half if stride == 2 else 0
    return branch + shortcut


def stage(c_in: int, c_out: int, units: int) -> int:
    return unit(c_in, c_out, 2) + (units - 1) * unit(c_out, c_out, 1)


def test_parameters_are_those_of_table_4() -> None:
    stem = 3 * 24 * 9 + 2 * 24 + stage(24, 116, 4)
    trunk = stage(116, 232, 8) + stage(232, 464, 4) + 464 * 1024 + 2 * 1024 + 1024 * 7 + 7
    assert count(Stem()) == stem
    assert count(Trunk(7)) == trunk
    assert stem + trunk == 1_260_779
    assert round((stem + trunk) / 1e6, 2) == 1.26  # paper 001, table 4


@pytest.mark.parametrize("side", [32, 96, 224])
def test_shapes_by_stage(side: int) -> None:
    stem, trunk = Stem().eval(), Trunk(7).eval()
    with torch.no_grad():
        x = stem.conv1(torch.zeros(2, 3, side, side))
        assert x.shape == (2, 24, side // 2, side // 2)
        x = stem.pool(x)
        assert x.shape == (2, 24, side // 4, side // 4)
        x = stem.stage2(x)
        assert x.shape == (2, 116, side // 8, side // 8)
        x = trunk.stage3(x)
        assert x.shape == (2, 232, side // 16, side // 16)
        x = trunk.stage4(x)
        assert x.shape == (2, 464, side // 32, side // 32)
        assert trunk.conv5(x).shape == (2, 1024, side // 32, side // 32)
        assert trunk(torch.zeros(2, 116, side // 8, side // 8)).shape == (2, 7)


def test_channel_shuffle_interleaves_the_halves() -> None:
    x = torch.arange(2 * 6 * 4.0).view(2, 6, 2, 2)
    literal = torch.stack([x[:, i // 2 + 3 * (i % 2)] for i in range(6)], dim=1)
    assert torch.equal(channel_shuffle(x), literal)


def test_a_unit_of_stride_1_keeps_half_of_its_channels() -> None:
    x = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        out = ShuffleUnit(8, 8, 1).eval()(x)
    assert torch.equal(out[:, 0::2], x[:, :4])


def test_golden_logits() -> None:
    """The same seed gives the same network and numbers as on the day this was written."""
    torch.manual_seed(0)
    stem, trunk = Stem().train(), Trunk(7, dropout=0.0).train()
    line = torch.linspace(-1, 1, 64)
    picture = torch.stack((line[:, None] * line, line[:, None] + line, line[:, None] - 0 * line))
    batch = torch.stack((picture, -picture, picture.flip(1), picture.transpose(1, 2)))
    with torch.no_grad():
        logits = trunk(stem(batch))
    expected = torch.tensor(GOLDEN)
    torch.testing.assert_close(logits[:2], expected, rtol=0, atol=2e-3)
