"""The cloud tail with the middle blocks of EfficientNet-Lite0 (Tan and Le, 2019).

Half the work of a cloud tail with ShuffleNetV2's stages, and blocks that can begin with what a
larger network learnt from pictures of everything.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.bottleneck import Decoder
from training.models.shufflenet_v2 import Depthwise

LITE_CHANNELS = 24
_EXPAND = 6
# Channels, kernel and stride of blocks 3 to 13. Before them the network's maps have 28x28 places,
# as the latent has; those after them hold a third of its parameters, and would make head and tail
# larger than 2 M; a ``whole`` tail has them, up to the network's last convolution.
BLOCKS = (
    (40, 5, 2), (40, 5, 1),
    (80, 3, 2), (80, 3, 1), (80, 3, 1),
    (112, 5, 1), (112, 5, 1), (112, 5, 1),
    (192, 5, 2), (192, 5, 1), (192, 5, 1),
)  # fmt: skip
LAST_BLOCKS = ((192, 5, 1), (320, 3, 1))
# A block is left out this often in training, the last of the network; earlier ones less.
_DROP_PATH, _NETWORK_BLOCKS, FIRST_BLOCK = 0.1, 16, 3
_DROPOUT = 0.3


class SameDepthwise(Depthwise):
    """A depthwise convolution padded as TensorFlow does: where strided, more behind than before."""

    def __init__(self, channels: int, stride: int, kernel: int) -> None:
        super().__init__(channels, stride, kernel)
        self.around = (0, 0, 0, 0)
        if stride > 1:
            before = (kernel - stride) // 2
            self.around, self.padding = (before, kernel - stride - before) * 2, (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C, H / stride, W / stride)`` of the same dtype."""
        return super().forward(F.pad(x, self.around) if any(self.around) else x)


class InvertedResidual(nn.Module):
    """Expand, filter, project (Sandler et al., 2018), without squeeze-and-excitation:
    ``(N, c_in, H, W)`` -> ``(N, c_out, H / stride, W / stride)``."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, drop_path: float) -> None:
        super().__init__()
        width = _EXPAND * c_in
        self.expand = nn.Conv2d(c_in, width, 1, bias=False)
        self.norm1 = _norm(width)
        self.depthwise = SameDepthwise(width, stride, kernel)
        self.norm2 = _norm(width)
        self.project = nn.Conv2d(width, c_out, 1, bias=False)
        self.norm3 = _norm(c_out)
        self.skip = stride == 1 and c_in == c_out
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out = F.relu6(self.norm1(self.expand(x)))
        out = F.relu6(self.norm2(self.depthwise(out)))
        out = self.norm3(self.project(out))
        if not self.skip:
            return out  # type: ignore[no-any-return]
        if self.training:
            kept = torch.rand(len(out), 1, 1, 1, device=out.device) >= self.drop_path
            out = out * (kept / (1 - self.drop_path)).to(out.dtype)
        return x + out  # type: ignore[no-any-return]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class LiteTail(nn.Module):
    """Decoder to 24 channels, attention, blocks, mean, classifier: ``y_hat`` ``(N, 8, H, W)`` ->
    logits ``(N, outputs)``.

    ``attention`` works on maps ``(N, 24, H, W)``.
    """

    def __init__(self, attention: nn.Sequential, outputs: int, whole: bool = False) -> None:
        super().__init__()
        blocks = BLOCKS + LAST_BLOCKS if whole else BLOCKS
        self.decoder = Decoder(LITE_CHANNELS)
        self.attention = attention
        channels = (LITE_CHANNELS, *(c_out for c_out, _, _ in blocks))
        self.blocks = nn.Sequential(
            *(
                InvertedResidual(
                    channels[i], *blocks[i], _DROP_PATH * (FIRST_BLOCK + i) / _NETWORK_BLOCKS
                )
                for i in range(len(blocks))
            )
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(channels[-1], outputs)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, outputs)``."""
        maps = self.blocks(self.attention(self.decoder(y_hat)))
        logits: Tensor = self.classifier(self.dropout(maps.mean(dim=(2, 3))))
        return logits
