"""EdgeCNN and EdgeCNN-G (paper 000, Tables 1 to 5): small DenseNets for faces of 44 px, no 1x1
convolutions.

(N, 1, 44, 44) -> 3x3, 32 -> max pool -> 4 blocks, 22x22x64 -> mean pool -> 4 blocks, 11x11x96
               -> mean pool -> 7 blocks, 5x5x152 -> mean -> 7 classes a label set
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from splitfer.shared.labels import LABELS
from training.models.condensed import LearnedGroupConv
from training.models.crop_classifier import standardised_picture

GROWTH, WIDER, STEM = 8, 4, 32
BLOCKS = (4, 4, 7)
# Groups of the two convolutions of a block of EdgeCNN-G; each condenses by as much.
GROUPS = (4, 8)


class EdgeBlock(nn.Module):
    """Two 3x3 convolutions whose ``GROWTH`` channels are added behind the input's: ``(N, C, H, W)``
    -> ``(N, C + 8, H, W)``. Norms come after their convolution, and the second has no activation
    (paper 000, Table 2). ``learned``: both are learned group convolutions (Table 3)."""

    def __init__(self, channels: int, learned: bool = False) -> None:
        super().__init__()
        inner = WIDER * GROWTH
        first, second = (
            (partial(LearnedGroupConv, groups=each, factor=each) for each in GROUPS)
            if learned
            else (partial(nn.Conv2d, kernel_size=3, padding=1) for _ in GROUPS)
        )
        self.layers = nn.Sequential(
            first(channels, inner),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            second(inner, GROWTH),
            nn.BatchNorm2d(GROWTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.cat((x, self.layers(x)), dim=1)


class EdgeCNN(nn.Module):
    """Float grey pictures ``(N, 1, 44, 44)`` in 0..255 -> logits ``(N, 7 L)``, one of the L label
    sets after the other."""

    learned = False

    def __init__(self, label_sets: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM, 3, padding=1),
            nn.BatchNorm2d(STEM),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        channels = STEM
        for place, blocks in enumerate(BLOCKS):
            if place:
                stages.append(nn.AvgPool2d(2))
            for _ in range(blocks):
                stages.append(EdgeBlock(channels, self.learned))
                channels += GROWTH
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, len(LABELS) * label_sets)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        features = self.stages(self.stem(standardised_picture(pictures))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


class EdgeCNNG(EdgeCNN):
    """EdgeCNN-G: the same with learned group convolutions in its blocks."""

    learned = True
