"""A cloud tail that learnt from pictures of everything before it learns faces.

It is the later blocks of a trained teacher, behind a decoder of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.bottleneck import DEFAULT_RATE, LATENT_CHANNELS, Decoder, bias
from shared.models.split_model import SplitConfig, SplitModel
from training.teacher import DROP_PATH, Teacher

# Behind this block the teacher's maps have 28x28 places, as the latent has.
_SPLIT, _CHANNELS = 3, 24
_KERNEL = 3


class LiteTail(nn.Module):
    """``y_hat`` ``(N, 8, 28, 28)`` -> logits ``(N, 7)``, with the parameters of ``teacher``."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        net = teacher.net
        self.decoder = Decoder(_CHANNELS)
        self.blocks = net._blocks[_SPLIT:]
        self.last = nn.Sequential(net._conv_head, net._bn1, nn.ReLU6())
        self.dropout, self.classifier = net._dropout, net._fc
        self._all_blocks = len(net._blocks)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, 7)``."""
        x = self.decoder(y_hat)
        for place, block in enumerate(self.blocks, _SPLIT):
            x = block(x, drop_connect_rate=DROP_PATH * place / self._all_blocks)
        logits: Tensor = self.classifier(self.dropout(self.last(x).mean(dim=(2, 3))))
        return logits


class LiteModel(SplitModel):
    """The split model with a ``LiteTail`` in the cloud."""

    def __init__(self, config: SplitConfig | None = None) -> None:
        super().__init__(config)
        self.cloud_tail = LiteTail(Teacher())  # type: ignore[assignment]


@torch.no_grad()
def start_lite(model: SplitModel, teacher: Teacher, views: Tensor) -> None:
    """Give the cloud tail the teacher's parameters, and the decoder that brings latents nearest to
    the teacher's maps in the mean square. ``views`` ``(N, 1, 224, 224)`` are what to fit it on."""
    tail = LiteTail(teacher)
    net = teacher.eval().net
    maps = net._swish(net._bn0(net._conv_stem(teacher.prepared(views))))
    for block in net._blocks[:_SPLIT]:
        maps = block(maps)
    y_hat = model.eval().gains(model.head(views)[1], DEFAULT_RATE)[1]
    around = F.unfold(y_hat, _KERNEL, padding=_KERNEL // 2)  # (N, 72, 784)
    known = around.transpose(1, 2).reshape(-1, around.shape[1]).double()
    known = torch.cat((known, known.new_ones(len(known), 1)), dim=1)
    wanted = maps.permute(0, 2, 3, 1).reshape(-1, _CHANNELS).double()
    fitted = torch.linalg.solve(
        known.T @ known + 1e-3 * torch.eye(known.shape[1]), known.T @ wanted
    )
    conv = tail.decoder.conv
    conv.weight.copy_(fitted[:-1].T.reshape(_CHANNELS, LATENT_CHANNELS, _KERNEL, _KERNEL))
    bias(conv).copy_(fitted[-1])
    model.cloud_tail.load_state_dict(tail.state_dict())
