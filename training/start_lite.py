"""A good first ``LiteTail``: with the middle blocks of a trained teacher."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.asp import ASP
from shared.models.bottleneck import DEFAULT_RATE, LATENT_CHANNELS, bias
from shared.models.lite_tail import BLOCKS, FIRST_BLOCK, LITE_CHANNELS, LiteTail
from shared.models.sfp import SFP
from shared.models.split_model import SplitModel
from training.teacher import Teacher

# The attention begins near one, yet where the sigmoid still moves.
_FIRST_BIAS = 2.0
_KERNEL = 3
# What the teacher's library calls the parts of a block.
_PARTS = {
    "_expand_conv": "expand", "_bn0": "norm1", "_depthwise_conv": "depthwise", "_bn1": "norm2",
    "_project_conv": "project", "_bn2": "norm3",
}  # fmt: skip


@torch.no_grad()
def start_lite(model: SplitModel, teacher: Teacher, views: Tensor) -> None:
    """Give the cloud tail the teacher's blocks, and the decoder that brings latents nearest to the
    teacher's maps in the mean square. ``views`` ``(N, 1, 224, 224)`` are what to fit it on."""
    tail = model.cloud_tail
    assert isinstance(tail, LiteTail)
    tail.blocks.load_state_dict(blocks_of(teacher))
    wanted = maps_before(teacher, views).permute(0, 2, 3, 1).reshape(-1, LITE_CHANNELS).double()
    y_hat = model.eval().gains(model.head(views)[1], DEFAULT_RATE)[1]
    around = F.unfold(y_hat, _KERNEL, padding=_KERNEL // 2)  # (N, 72, 784)
    known = around.transpose(1, 2).reshape(-1, around.shape[1]).double()
    known = torch.cat((known, known.new_ones(len(known), 1)), dim=1)
    fitted = torch.linalg.solve(
        known.T @ known + 1e-3 * torch.eye(known.shape[1]), known.T @ wanted
    )
    fitted /= _even_attention(tail.attention)
    conv = tail.decoder.conv
    conv.weight.copy_(fitted[:-1].T.reshape(LITE_CHANNELS, LATENT_CHANNELS, _KERNEL, _KERNEL))
    bias(conv).copy_(fitted[-1])


def blocks_of(teacher: Teacher) -> dict[str, Tensor]:
    """The teacher's middle blocks, by the names that a ``LiteTail`` has for them."""
    found = {}
    for place in range(len(BLOCKS)):
        for name, tensor in teacher.net._blocks[FIRST_BLOCK + place].state_dict().items():
            part, rest = name.split(".", 1)
            found[f"{place}.{_PARTS[part]}.{rest}"] = tensor
    return found


@torch.no_grad()
def maps_before(teacher: Teacher, views: Tensor) -> Tensor:
    """What the teacher gives to the first of the blocks: ``(N, 24, 28, 28)``."""
    net = teacher.eval().net
    maps: Tensor = net._swish(net._bn0(net._conv_stem(teacher.prepared(views))))
    for block in net._blocks[:FIRST_BLOCK]:
        maps = block(maps)
    return maps


def _even_attention(modules: nn.Sequential) -> float:
    """Make the modules weigh every place and channel alike, and give that weight: a sigmoid for
    each direction of ASP, and one of SFP."""
    sigmoids = 0
    for module in modules:
        layers: list[nn.Module | None] = []
        if isinstance(module, ASP):
            layers, sigmoids = [module.straight, module.diagonal], sigmoids + len(module.directions)
        elif isinstance(module, SFP):
            layers, sigmoids = [module.fc], sigmoids + 1
        for layer in layers:
            if layer is not None:
                nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
                nn.init.constant_(layer.bias, _FIRST_BIAS)  # type: ignore[arg-type]
    return (1 / (1 + math.exp(-_FIRST_BIAS))) ** sigmoids
