"""A cloud tail that uses a server: plain residual blocks (He et al., 2016) on the latent.

Dense 3x3 convolutions do more work a millisecond than depthwise ones where there is a processor
for them, in training above all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.bottleneck import LATENT_CHANNELS
from training.models.shufflenet_v2 import conv_bn

# Channels and blocks at 28x28, 14x14 and 7x7 places.
WIDTHS, BLOCKS = (64, 128, 256), (2, 2, 2)
_DROPOUT, _DROP_PATH = 0.3, 0.1


class ResidualBlock(nn.Module):
    """``(N, c_in, H, W)`` -> ``(N, c_out, H / stride, W / stride)``; dropped in training with
    probability ``drop_path``, face by face."""

    def __init__(self, c_in: int, c_out: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.branch = nn.Sequential(
            *conv_bn(c_in, c_out, 3, stride), nn.ReLU(inplace=True), *conv_bn(c_out, c_out, 3)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.shortcut = nn.Sequential(*conv_bn(c_in, c_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out = self.branch(x)
        if self.training and self.drop_path:
            kept = torch.rand(len(out), 1, 1, 1, device=out.device) >= self.drop_path
            out = out * (kept / (1 - self.drop_path)).to(out.dtype)
        return F.relu(self.shortcut(x) + out)


class ResidualTail(nn.Module):
    """First convolution, attention, three groups of residual blocks, mean, classifier: ``y_hat``
    ``(N, 8, H, W)`` -> logits ``(N, outputs)``.

    ``attention`` works on maps ``(N, widths[0], H, W)``.
    """

    def __init__(
        self,
        attention: nn.Sequential,
        outputs: int,
        widths: tuple[int, ...] = WIDTHS,
        blocks: tuple[int, ...] = BLOCKS,
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(*conv_bn(LATENT_CHANNELS, widths[0], 3), nn.ReLU(inplace=True))
        self.attention = attention
        made: list[nn.Module] = []
        c_in, total = widths[0], sum(blocks)
        for group, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for index in range(count):
                drop_path = _DROP_PATH * len(made) / max(total - 1, 1)
                made.append(ResidualBlock(c_in, width, 2 if group and not index else 1, drop_path))
                c_in = width
        self.residuals = nn.Sequential(*made)
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(c_in, outputs)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, outputs)``."""
        maps = self.residuals(self.attention(self.first(y_hat)))
        logits: Tensor = self.classifier(self.dropout(maps.mean(dim=(2, 3))))
        return logits
