"""EdgeCNN (paper 000, Tables 1 to 5): a small DenseNet for faces of 44 px, no 1x1 convolutions.

(N, 1, 44, 44) -> 3x3, 32 -> max pool -> 4 blocks, 22x22x64 -> mean pool -> 4 blocks, 11x11x96
               -> mean pool -> 7 blocks, 5x5x152 -> mean -> 7 classes a label set
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from splitfer.shared.labels import LABELS

SIZE_PX = 44
GROWTH, WIDER, STEM = 8, 4, 32
BLOCKS = (4, 4, 7)


class EdgeBlock(nn.Module):
    """Two 3x3 convolutions whose ``GROWTH`` channels are added behind the input's: ``(N, C, H, W)``
    -> ``(N, C + 8, H, W)``. Norms come after their convolution, and the second has no activation
    (paper 000, Table 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = WIDER * GROWTH
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, GROWTH, 3, padding=1),
            nn.BatchNorm2d(GROWTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.cat((x, self.layers(x)), dim=1)


class EdgeCNN(nn.Module):
    """Float grey pictures ``(N, 1, 44, 44)`` in 0..255 -> logits ``(N, 7 L)``, one of the L label
    sets after the other."""

    def __init__(self, label_sets: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM, 3, padding=1), nn.BatchNorm2d(STEM), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        stages: list[nn.Module] = []
        channels = STEM
        for place, blocks in enumerate(BLOCKS):
            if place:
                stages.append(nn.AvgPool2d(2))
            for _ in range(blocks):
                stages.append(EdgeBlock(channels))
                channels += GROWTH
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, len(LABELS) * label_sets)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        mean = pictures.mean(dim=(2, 3), keepdim=True)
        spread = pictures.var(dim=(2, 3), keepdim=True, unbiased=False)
        x = (pictures - mean) * torch.rsqrt(spread + 1.0)  # light and contrast are not expression
        features = self.stages(self.stem(x)).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits
