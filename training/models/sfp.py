"""Scalable Frequency Pooling: one weight per channel, from wavelet approximations.

Paper 001, section 3.3. The channels are cut into ``level`` groups; group i goes through i levels
of the wavelet transform, only LL_i is kept, and its mean feeds one fully connected layer.
A mean of LL_i is a fixed linear functional of the channel, so each level is one weight mask:

    x (N,C,H,W) -> sum of x * mask per channel (N,C) -> FC CxC -> sigmoid -> scales x

which needs no wavelet operator and exports as a multiplication and a sum. With Haar, or any wavelet
by ``periodization``, the masks of levels 1 and 2 on 28x28 are constant (a scaled plain mean);
longer wavelets padded by the mirror image re-weight the borders.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WAVELETS = ("haar", "db2", "db4", "sym4")
LEVELS = (1, 2, 3, 4)
# PyWavelets' names of what a map goes on with beyond its border: its mirror image, as by default
# there, or itself again, which is the one transform that keeps energy.
PADDINGS = ("symmetric", "periodization")


def check_transform(wavelet: str, level: int, padding: str = "symmetric") -> None:
    """Fail where the wavelet, the number of levels or the padding is not offered.

    Raises:
        ValueError: and says what is.
    """
    if wavelet not in WAVELETS or level not in LEVELS:
        raise ValueError(
            f"SFP offers {', '.join(WAVELETS)} at levels 1 to 4, not {wavelet!r} at {level!r}"
        )
    if padding not in PADDINGS:
        raise ValueError(f"SFP offers the padding {' or '.join(PADDINGS)}, not {padding!r}")


@cache
def axis_mask(
    wavelet: str, level: int, size: int, padding: str = "symmetric"
) -> NDArray[np.float64]:
    """Weights ``(size,)`` whose dot product with a signal is the mean of its ``level``-th LL.

    The transform is separable, so unit impulses along one axis are enough.
    """
    with warnings.catch_warnings():
        # A deep level of a long wavelet on a small map is all border. That is what the paper's
        # setting (3 levels on 28x28) asks for; the transform is still well defined.
        warnings.filterwarnings("ignore", message="Level value of .* is too high")
        approximation = pywt.wavedec(np.eye(size), wavelet, padding, level=level, axis=0)[0]
    return np.asarray(approximation.mean(axis=0), dtype=np.float64)


@cache
def frequency_mask(
    wavelet: str, level: int, height: int, width: int, padding: str = "symmetric"
) -> NDArray[np.float32]:
    """Weights ``(H, W)``: ``(map * mask).sum()`` equals ``mean(LL_level(map))``."""
    rows, columns = (axis_mask(wavelet, level, size, padding) for size in (height, width))
    return np.outer(rows, columns).astype(np.float32)


class SFP(nn.Module):
    """Channel attention (paper 001, section 3.3): ``(N, C, H, W)`` -> ``(N, C, H, W)``.

    Raises:
        ValueError: the wavelet, the number of levels or the padding is not offered.
    """

    def __init__(
        self,
        channels: int,
        wavelet: str = "db2",
        level: int = 3,
        padding: str = "symmetric",
    ) -> None:
        super().__init__()
        check_transform(wavelet, level, padding)
        self.wavelet, self.padding = wavelet, padding
        groups = torch.arange(channels).chunk(level)
        self.levels = [i for i, group in enumerate(groups, start=1) for _ in group]
        self.fc = nn.Linear(channels, channels)

    def pool(self, x: Tensor) -> Tensor:
        """Mean of each channel's LL at its group's level: ``(N, C, H, W)`` -> ``(N, C)``."""
        h, w = x.shape[2:]
        masks = [frequency_mask(self.wavelet, level, h, w, self.padding) for level in self.levels]
        return (x * torch.from_numpy(np.stack(masks)).to(x)).sum(dim=(2, 3))

    def attention(self, x: Tensor) -> Tensor:
        """What weights the channels of ``x``: ``(N, C, 1, 1)``, each value in (0, 1)."""
        return torch.sigmoid(self.fc(self.pool(x)))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with each channel scaled by its attention."""
        return x * self.attention(x)
