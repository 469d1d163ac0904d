"""ShuffleNetV2 x1.0 (Ma et al., 2018), cut where the edge hands over to the cloud.

    picture (N, 3, 224, 224)
      -> Stem    Conv1 3x3/2, MaxPool 3x3/2      (N,  24, 56, 56)
      -> Stage 2 4 units                         (N, 116, 28, 28)   <- split point
      -> Stage 3 8 units                         (N, 232, 14, 14)
      -> Stage 4 4 units                         (N, 464,  7,  7)
      -> Conv5   1x1, global average, classifier (N, outputs)

Every convolution is fully convolutional, so smaller pictures (multiples of 32) work too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEM_CHANNELS = 24
STAGE2_CHANNELS = 116
STAGE3_CHANNELS = 232
STAGE4_CHANNELS = 464
CONV5_CHANNELS = 1024


def channel_shuffle(x: Tensor, channels_last: bool = False) -> Tensor:
    """Interleave the two halves of the channels: ``(N, C, H, W)`` -> ``(N, C, H, W)``.

    ``channels_last`` gives a result of that memory format.
    """
    n, c, h, w = x.shape
    if channels_last:
        pixels = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, c // 2)
        return pixels.transpose(3, 4).reshape(n, h, w, c).permute(0, 3, 1, 2)
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A dense convolution without bias, and its batch normalisation."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class Depthwise(nn.Conv2d):
    """A depthwise convolution without bias, in float32 under autocast where strided or large.

    In bfloat16 a processor's backward pass of those takes ten times as long.
    """

    def __init__(self, channels: int, stride: int, kernel: int = 3) -> None:
        super().__init__(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
        )
        self.float32 = stride > 1 or kernel > 3

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C, H / stride, W / stride)`` of the same dtype."""
        if not self.float32 or not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


def depthwise_bn(channels: int, stride: int) -> list[nn.Module]:
    """A 3x3 depthwise convolution without bias, and its batch normalisation (no ReLU after it)."""
    conv = Depthwise(channels, stride)
    return [conv, nn.BatchNorm2d(channels)]


class ShuffleUnit(nn.Module):
    """One unit: stride 1 transforms half of the channels, stride 2 all of them, twice.

    ``(N, c_in, H, W)`` -> ``(N, c_out, H / stride, W / stride)``.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        half = c_out // 2
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(
                *depthwise_bn(c_in, 2), *conv_bn(c_in, half, 1), nn.ReLU(inplace=True)
            )
        self.branch = nn.Sequential(
            *conv_bn(c_in if stride == 2 else half, half, 1),
            nn.ReLU(inplace=True),
            *depthwise_bn(half, stride),
            *conv_bn(half, half, 1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Both halves, shuffled together."""
        kept, changed = (x, x) if self.stride == 2 else x.chunk(2, dim=1)
        halves = torch.cat((self.shortcut(kept), self.branch(changed)), dim=1)
        # Training lays channels last, and a step is twice as fast where the shuffle keeps it so.
        return channel_shuffle(halves, channels_last=self.training)


def stage(c_in: int, c_out: int, units: int) -> nn.Sequential:
    """A stage: one unit of stride 2, then ``units - 1`` of stride 1."""
    rest = [ShuffleUnit(c_out, c_out, 1) for _ in range(units - 1)]
    return nn.Sequential(ShuffleUnit(c_in, c_out, 2), *rest)


class Stem(nn.Module):
    """Conv1, MaxPool and Stage 2: ``(N, 3, H, W)`` -> ``(N, 116, H / 8, W / 8)``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv_bn(3, STEM_CHANNELS, 3, 2), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stage2 = stage(STEM_CHANNELS, STAGE2_CHANNELS, 4)

    def forward(self, picture: Tensor) -> Tensor:
        """The features at the split point."""
        out: Tensor = self.stage2(self.pool(self.conv1(picture)))
        return out


class Trunk(nn.Module):
    """Stages 3 and 4, Conv5 and the classifier: ``(N, 116, H, W)`` -> logits ``(N, outputs)``."""

    def __init__(self, outputs: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.stage3 = stage(STAGE2_CHANNELS, STAGE3_CHANNELS, 8)
        self.stage4 = stage(STAGE3_CHANNELS, STAGE4_CHANNELS, 4)
        self.conv5 = nn.Sequential(
            *conv_bn(STAGE4_CHANNELS, CONV5_CHANNELS, 1), nn.ReLU(inplace=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(CONV5_CHANNELS, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(N, outputs)``."""
        pooled = self.conv5(self.stage4(self.stage3(features))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits
