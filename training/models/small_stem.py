"""ShuffleNetV2's first layers for a crop that holds no more than 56 pixels a side.

    crop (N, 1, S, S) grey 0..255, S a multiple of 56
      -> mean of S/56 x S/56 pixels             (N,   1, 56, 56)
      -> standardised, crop by crop             (N,   1, 56, 56)
      -> Conv1 3x3                              (N,  24, 56, 56)
      -> Stage 2 4 units                        (N, 116, 28, 28)   <- split point

A crop of 224 px is an enlarged one of 56 (see ``splitfer.shared.vision.crop``), so nothing is lost,
and the layers that work on 112x112 places, half of the device's time before the split, are not
needed.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from training.models.shufflenet_v2 import STAGE2_CHANNELS, STEM_CHANNELS, conv_bn, stage

DETAIL_PX = 56
# Of a crop with less contrast than this (0..255) the noise would be all that is left.
LEAST_DEVIATION = 4.0


class SmallStem(nn.Module):
    """``(N, 1, S, S)`` grey 0..255 -> ``(N, 116, S/s, S/s)`` with s = 2 S/56: 28x28 places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv_bn(1, STEM_CHANNELS, 3), nn.ReLU(inplace=True))
        self.stage2 = stage(STEM_CHANNELS, STAGE2_CHANNELS, 4)

    def forward(self, crop: Tensor) -> Tensor:
        """The features at the split point."""
        features: Tensor = self.stage2(self.conv1(standardised(crop)))
        return features


def standardised(crop: Tensor) -> Tensor:
    """``(N, 1, S, S)`` in 0..255 -> ``(N, 1, 56, 56)`` of mean 0 and deviation 1 (less where the
    crop is almost flat): a dark or pale picture of a face looks like a good one."""
    small = F.avg_pool2d(crop, crop.shape[-1] // DETAIL_PX)
    centred = small - small.mean(dim=(2, 3), keepdim=True)
    variance = centred.square().mean(dim=(2, 3), keepdim=True)
    return centred / (variance + LEAST_DEVIATION**2).sqrt()
