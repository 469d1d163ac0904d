"""VGG19 with residual blocks (paper 003): to what each of its five blocks gives, the block's input
is added, and the sum is the next one's input.

(N, 1, 44, 44) -> 64x2, 22x22 -> 128x2, 11x11 -> 256x4, 5x5 -> 512x4, 2x2 -> 512x4 -> mean
               -> 7 classes a label set

Where a block widens, its input goes through a 1x1 convolution first. The fully connected layers of
VGG19, which a picture of 44 px has no use for, are one behind the mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from splitfer.shared.labels import LABELS
from training.models.crop_classifier import standardised_picture
from training.models.shufflenet_v2 import conv_bn

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


class VGGBlock(nn.Module):
    """``layers`` 3x3 convolutions and a shortcut: ``(N, C, H, W)`` -> ``(N, channels, H, W)``."""

    def __init__(self, c_in: int, channels: int, layers: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts += conv_bn(channels if layer else c_in, channels, 3)
            if layer < layers - 1:
                parts.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*parts)
        self.shortcut: nn.Module = nn.Identity()
        if c_in != channels:
            self.shortcut = nn.Sequential(*conv_bn(c_in, channels, 1))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.activation(self.layers(x) + self.shortcut(x))
        return out


class ResidualVGG19(nn.Module):
    """Float grey pictures ``(N, 1, 44, 44)`` in 0..255 -> logits ``(N, 7 L)``, one of the L label
    sets after the other."""

    def __init__(self, label_sets: int = 1, dropout: float = 0.5) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        c_in = 1
        for place, (channels, layers) in enumerate(BLOCKS):
            if place:
                stages.append(nn.MaxPool2d(2))
            stages.append(VGGBlock(c_in, channels, layers))
            c_in = channels
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(c_in, len(LABELS) * label_sets)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        features = self.stages(standardised_picture(pictures)).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits
