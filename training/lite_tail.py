"""A cloud tail that learnt from pictures of everything before it learns faces.

A decoder, the attention modules ASP and SFP of paper 001, and as remaining stages the middle blocks
of a trained teacher.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.asp import ASP, parse_directions
from shared.models.bottleneck import DEFAULT_RATE, LATENT_CHANNELS, Decoder, bias
from shared.models.sfp import SFP
from shared.models.split_model import SplitConfig, SplitModel
from training.teacher import DROP_PATH, DROPOUT, Teacher

# Before these blocks the teacher's maps have 28x28 places, as the latent has. Those after them hold
# a third of its parameters, and would make head and tail larger than 2 M.
_BLOCKS = slice(3, 14)
_IN_CHANNELS, _OUT_CHANNELS = 24, 192
_KERNEL = 3
# The attention begins near one, yet where the sigmoid still moves.
_FIRST_BIAS = 2.0


class LiteTail(nn.Module):
    """``y_hat`` ``(N, 8, 28, 28)`` -> logits ``(N, 7)``, with blocks of ``teacher`` itself."""

    def __init__(self, config: SplitConfig, teacher: Teacher) -> None:
        super().__init__()
        self.decoder = Decoder(_IN_CHANNELS)
        asp = ASP(_IN_CHANNELS, parse_directions(config.directions))
        sfp = SFP(_IN_CHANNELS, config.wavelet, config.level)
        for layer in (asp.straight, asp.diagonal, sfp.fc):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, _FIRST_BIAS)  # type: ignore[arg-type]
        self.attention = nn.Sequential(asp, sfp)
        self.blocks, self._all_blocks = teacher.net._blocks[_BLOCKS], len(teacher.net._blocks)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(_OUT_CHANNELS, config.classes)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, 7)``."""
        x = self.attention(self.decoder(y_hat))
        for place, block in enumerate(self.blocks, _BLOCKS.start):
            x = block(x, drop_connect_rate=DROP_PATH * place / self._all_blocks)
        logits: Tensor = self.classifier(self.dropout(x.mean(dim=(2, 3))))
        return logits


class LiteModel(SplitModel):
    """The split model with a ``LiteTail`` in the cloud."""

    def __init__(self, config: SplitConfig | None = None) -> None:
        super().__init__(config)
        self.cloud_tail = LiteTail(self.config, Teacher())  # type: ignore[assignment]


@torch.no_grad()
def start_lite(model: SplitModel, teacher: Teacher, views: Tensor) -> None:
    """Give the cloud tail the teacher's blocks, and the decoder that brings latents nearest to the
    teacher's maps in the mean square. ``views`` ``(N, 1, 224, 224)`` are what to fit it on."""
    tail = model.cloud_tail
    tail.blocks.load_state_dict(teacher.net._blocks[_BLOCKS].state_dict())  # type: ignore[union-attr]
    wanted = maps_before(teacher, views).permute(0, 2, 3, 1).reshape(-1, _IN_CHANNELS).double()
    y_hat = model.eval().gains(model.head(views)[1], DEFAULT_RATE)[1]
    around = F.unfold(y_hat, _KERNEL, padding=_KERNEL // 2)  # (N, 72, 784)
    known = around.transpose(1, 2).reshape(-1, around.shape[1]).double()
    known = torch.cat((known, known.new_ones(len(known), 1)), dim=1)
    fitted = torch.linalg.solve(
        known.T @ known + 1e-3 * torch.eye(known.shape[1]), known.T @ wanted
    )
    fitted /= _first_attention(model.config)
    conv = tail.decoder.conv
    conv.weight.copy_(fitted[:-1].T.reshape(_IN_CHANNELS, LATENT_CHANNELS, _KERNEL, _KERNEL))
    bias(conv).copy_(fitted[-1])


@torch.no_grad()
def maps_before(teacher: Teacher, views: Tensor) -> Tensor:
    """What the teacher gives to the first of the blocks: ``(N, 24, 28, 28)``."""
    net = teacher.eval().net
    maps: Tensor = net._swish(net._bn0(net._conv_stem(teacher.prepared(views))))
    for block in net._blocks[: _BLOCKS.start]:
        maps = block(maps)
    return maps


def _first_attention(config: SplitConfig) -> float:
    """One sigmoid a direction, and one of SFP."""
    return (1 / (1 + math.exp(-_FIRST_BIAS))) ** (len(parse_directions(config.directions)) + 1)
