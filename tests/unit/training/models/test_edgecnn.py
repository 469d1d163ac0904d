from __future__ import annotations

import torch
from torch import nn

from training.models.edgecnn import EdgeCNN


def test_channels_and_sizes_are_those_of_the_papers_table_4() -> None:
    network, seen = EdgeCNN(2).eval(), []
    for place in (network.stem, *network.stages):
        place.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    assert network(torch.zeros(2, 1, 44, 44)).shape == (2, 14)
    ends = [seen[0], seen[4], seen[5], seen[9], seen[10], seen[17]]
    assert ends == [
        (32, 22, 22), (64, 22, 22), (64, 11, 11), (96, 11, 11), (96, 5, 5), (152, 5, 5),
    ]  # fmt: skip


def test_every_convolution_is_3x3_with_a_bias() -> None:
    convolutions = [m for m in EdgeCNN(1).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 31
    assert all(one.kernel_size == (3, 3) and one.bias is not None for one in convolutions)


def test_light_and_contrast_change_nothing() -> None:
    torch.manual_seed(0)
    network, faces = EdgeCNN(1).eval(), torch.rand(2, 1, 44, 44) * 100 + 50
    torch.testing.assert_close(network(faces), network(faces * 1.4 + 20), atol=1e-3, rtol=1e-2)
