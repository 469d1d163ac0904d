"""Light-FER (paper 004): Xception (Chollet, 2017) for faces of 44 px, made to be pruned.

(N, 1, 44, 44) -> 3x3, 32 -> 3x3, 64 -> 128, 22x22 -> 256, 11x11 -> 728, 6x6 -> 8 x 728
               -> 1024, 3x3 -> 1536 -> 2048 -> mean -> 7 classes a label set

Xception halves a picture of 299 px twice before its first block; one of 44 px is left as it is
there. All widths are halved unless ``width`` says otherwise: the paper's, with 20.8 million
parameters, are ``width`` 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from splitfer.shared.labels import LABELS
from training.models.crop_classifier import standardised_picture
from training.models.shufflenet_v2 import Depthwise, conv_bn

ENTRY, MIDDLE, EXIT = (128, 256, 728), 8, (1024, 1536, 2048)


def separable(c_in: int, c_out: int) -> list[nn.Module]:
    """A 3x3 depthwise convolution, a 1x1 one, and a norm."""
    return [Depthwise(c_in, 1), *conv_bn(c_in, c_out, 1)]


class XceptionBlock(nn.Module):
    """Separable convolutions of these ``widths`` with activations before them, and a shortcut:
    ``(N, c_in, H, W)`` -> ``(N, widths[-1], H / 2, W / 2)``, or of the same size where nothing
    widens."""

    def __init__(self, c_in: int, widths: tuple[int, ...], activate_first: bool = True) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        before = c_in
        for place, channels in enumerate(widths):
            if place or activate_first:
                parts.append(nn.ReLU())
            parts += separable(before, channels)
            before = channels
        self.shortcut: nn.Module = nn.Identity()
        if before != c_in:
            parts.append(nn.MaxPool2d(3, 2, 1))
            self.shortcut = nn.Sequential(*conv_bn(c_in, before, 1, 2))
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.layers(x) + self.shortcut(x)
        return out


class LightFER(nn.Module):
    """Float grey pictures ``(N, 1, 44, 44)`` in 0..255 -> logits ``(N, 7 L)``, one of the L label
    sets after the other."""

    def __init__(self, label_sets: int = 1, dropout: float = 0.3, width: float = 0.5) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return round(channels * width)

        stem = (wide(32), wide(64))
        self.stem = nn.Sequential(
            *conv_bn(1, stem[0], 3),
            nn.ReLU(inplace=True),
            *conv_bn(stem[0], stem[1], 3),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        c_in = stem[1]
        for place, channels in enumerate(map(wide, ENTRY)):
            blocks.append(XceptionBlock(c_in, (channels, channels), activate_first=place > 0))
            c_in = channels
        blocks += [XceptionBlock(c_in, (c_in,) * 3) for _ in range(MIDDLE)]
        widths = [wide(channels) for channels in EXIT]
        blocks.append(XceptionBlock(c_in, (c_in, widths[0])))
        self.blocks = nn.Sequential(*blocks)
        self.exit = nn.Sequential(
            *separable(widths[0], widths[1]),
            nn.ReLU(inplace=True),
            *separable(widths[1], widths[2]),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[2], len(LABELS) * label_sets)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        features = self.exit(self.blocks(self.stem(standardised_picture(pictures))))
        logits: Tensor = self.classifier(self.dropout(features.mean(dim=(2, 3))))
        return logits
