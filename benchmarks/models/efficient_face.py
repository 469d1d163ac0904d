"""EfficientFace (Zhao et al., 2021), paper 001's closest peer, which no kept library defines.

ShuffleNetV2 x1.0 whose Stage 2 stands beside depthwise convolutions of the map's four quarters, and
is weighted by channel and place. Untrained: for parameters, multiply-accumulates and time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.shufflenet_v2 import STAGE2_CHANNELS, Trunk, conv_bn, stage

CONV1_CHANNELS, REDUCTION, DILATION = 29, 16, 4


def _depthwise(c_in: int, channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, channels, 3, stride, 1, groups=c_in, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU()]


class Quarters(nn.Module):
    """Two depthwise convolutions of its own for each quarter: ``(N, 29, H, W)`` ->
    ``(N, 116, H / 2, W / 2)``."""

    def __init__(self) -> None:
        super().__init__()
        first, then = (CONV1_CHANNELS, STAGE2_CHANNELS, 2), (STAGE2_CHANNELS, STAGE2_CHANNELS, 1)
        self.parts = nn.ModuleList(
            nn.Sequential(*_depthwise(*first), *_depthwise(*then)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        quarters = [part for half in x.chunk(2, dim=2) for part in half.chunk(2, dim=3)]
        done = [part(quarter) for part, quarter in zip(self.parts, quarters, strict=True)]
        rows = [torch.cat(done[row : row + 2], dim=3) for row in (0, 2)]
        return torch.cat(rows, dim=2)


class Modulator(nn.Module):
    """Each value by a sigmoid of what its channel and its place are worth; ``(N, 116, H, W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        fewer = channels // REDUCTION
        self.channel = nn.Sequential(
            nn.Linear(channels, fewer), nn.BatchNorm1d(fewer), nn.ReLU(), nn.Linear(fewer, channels)
        )
        place: list[nn.Module] = [nn.Conv2d(channels, fewer, 1), nn.BatchNorm2d(fewer), nn.ReLU()]
        for _ in range(2):
            wide = nn.Conv2d(fewer, fewer, 3, padding=DILATION, dilation=DILATION)
            place += [wide, nn.BatchNorm2d(fewer), nn.ReLU()]
        self.place = nn.Sequential(*place, nn.Conv2d(fewer, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        channel = self.channel(x.mean(dim=(2, 3)))[:, :, None, None]
        return x * torch.sigmoid(channel * self.place(x))


class EfficientFace(nn.Module):
    """``(N, 3, 224, 224)`` -> logits ``(N, 7)``."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            *conv_bn(3, CONV1_CHANNELS, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.stage2 = stage(CONV1_CHANNELS, STAGE2_CHANNELS, 4)
        self.modulator, self.quarters = Modulator(STAGE2_CHANNELS), Quarters()
        self.trunk = Trunk(classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = self.conv1(pictures)
        logits: Tensor = self.trunk(self.modulator(self.stage2(x)) + self.quarters(x))
        return logits
