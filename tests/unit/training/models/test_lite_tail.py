from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.models.lite_tail import InvertedResidual, LiteTail, SameDepthwise
from training.models.split_model import SplitConfig, SplitModel

LITE = SplitConfig(cloud="lite")


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 7), (5, 1, 7), (3, 2, 8), (5, 2, 8)])
def test_the_depthwise_convolution_by_hand(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    conv = SameDepthwise(2, stride, kernel)
    x = torch.randn(1, 2, side, side)
    # TensorFlow's SAME: of the padding that is needed, the larger half lies behind.
    out_side = side // stride
    padding = (out_side - 1) * stride + kernel - side
    before = padding // 2
    expected = torch.zeros(1, 2, out_side, out_side)
    for c in range(2):
        for i in range(out_side):
            for j in range(out_side):
                for u in range(kernel):
                    for v in range(kernel):
                        row, column = i * stride + u - before, j * stride + v - before
                        if 0 <= row < side and 0 <= column < side:
                            expected[0, c, i, j] += conv.weight[c, 0, u, v] * x[0, c, row, column]
    torch.testing.assert_close(conv(x), expected)


def test_a_block_is_left_out_in_training_and_its_mean_kept() -> None:
    torch.manual_seed(0)
    block = InvertedResidual(4, 4, 3, 1, drop_path=0.25)
    x = torch.randn(1, 4, 6, 6).expand(4000, -1, -1, -1)
    block.norm1.eval(), block.norm2.eval(), block.norm3.eval()
    with torch.no_grad():
        changes: Tensor = block(x) - x
        left_out = (changes.abs().amax(dim=(1, 2, 3)) == 0).float().mean()
        block.eval()
        always = block(x[:1]) - x[:1]
    assert left_out == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(changes.mean(dim=0), always[0], atol=0.05, rtol=0.1)


def test_head_and_tail_have_at_most_two_million_parameters() -> None:
    model = SplitModel(LITE)
    assert isinstance(model.cloud_tail, LiteTail)
    parts = (model.head, model.cloud_tail)
    assert sum(p.numel() for part in parts for p in part.parameters()) <= 2_000_000


def test_other_sizes_than_the_deployed_one_work() -> None:
    with torch.no_grad():
        out = SplitModel(LITE).eval()(torch.zeros(2, 1, 96, 96))
    assert out.cloud.shape == (2, 7)
