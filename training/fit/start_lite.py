"""A good first ``LiteTail``: with the blocks of a trained teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from training.fit.start_decoder import even_attention, fit_decoder
from training.fit.teacher import Teacher
from training.models.lite_tail import BLOCKS, FIRST_BLOCK, LITE_CHANNELS, LiteTail
from training.models.split_model import SplitModel

# What the teacher's library calls the parts of a block.
_PARTS = {
    "_expand_conv": "expand",
    "_bn0": "norm1",
    "_depthwise_conv": "depthwise",
    "_bn1": "norm2",
    "_project_conv": "project",
    "_bn2": "norm3",
}


@torch.no_grad()
def start_lite(model: SplitModel, teacher: Teacher, views: Tensor) -> None:
    """Give the cloud tail, or its member of this kind, the teacher's blocks, and the decoder that
    brings latents nearest to the teacher's maps in the mean square.

    ``views`` ``(N, 1, H, W)`` in 0..255 are what the decoder is fitted on.
    """
    tail = next(one for one in model.cloud_tail.modules() if isinstance(one, LiteTail))
    tail.blocks.load_state_dict(blocks_of(teacher, len(tail.blocks)))
    wanted = maps_before(teacher, views).permute(0, 2, 3, 1).reshape(-1, LITE_CHANNELS).double()
    fit_decoder(model, tail.decoder, wanted / even_attention(tail.attention), views)


def blocks_of(teacher: Teacher, count: int = len(BLOCKS)) -> dict[str, Tensor]:
    """The teacher's ``count`` blocks from the fourth on, named as in a ``LiteTail``."""
    found = {}
    for place in range(count):
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
