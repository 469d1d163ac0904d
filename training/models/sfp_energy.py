"""SFP that pools magnitudes: what a linear mean loses of a channel's frequencies is kept.

SFP as published (paper 001, section 3.3) keeps LL_i and averages it. That is linear, so textures
of either sign cancel out. Here group i of the channels goes through i levels of the wavelet
transform too, and two means are taken per channel: of |LL_i|, and of |LH_i|, |HL_i| and |HH_i|
together.

    x (N,C,H,W) -> bank x bank^T, levels apart -> means of magnitudes (N,2C)
                -> FC 2CxC -> sigmoid -> scales x

One level's bank stacks the rows that make its approximation on those that make its detail, so a
transform is two matrix products and exports without a wavelet operator.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.sfp import check_transform


@cache
def filter_bank(wavelet: str, level: int, size: int) -> NDArray[np.float32]:
    """``(2K, size)``: its product with a signal is the ``level``-th approximation, then detail."""
    with warnings.catch_warnings():
        # As in SFP: deep levels on small maps are all border, on purpose.
        warnings.filterwarnings("ignore", message="Level value of .* is too high")
        approximation, detail = pywt.wavedec(np.eye(size), wavelet, level=level, axis=0)[:2]
    return np.concatenate((approximation, detail)).astype(np.float32)


class SFPEnergy(nn.Module):
    """Channel attention from magnitudes: ``(N, C, H, W)`` -> ``(N, C, H, W)``.

    Raises:
        ValueError: the wavelet or the number of levels is not offered.
    """

    def __init__(self, channels: int, wavelet: str = "db2", level: int = 3) -> None:
        super().__init__()
        check_transform(wavelet, level)
        self.wavelet = wavelet
        # As torch.chunk cuts them: fewer groups than levels where channels are few.
        self.groups = [len(group) for group in torch.arange(channels).chunk(level)]
        self.fc = nn.Linear(2 * channels, channels)

    def pool(self, x: Tensor) -> Tensor:
        """Means of magnitudes, all LL before all details: ``(N, C, H, W)`` -> ``(N, 2C)``."""
        h, w = x.shape[2:]
        low, high = [], []
        for level, group in enumerate(torch.split(x, self.groups, dim=1), start=1):
            rows = torch.from_numpy(filter_bank(self.wavelet, level, h)).to(x)
            columns = torch.from_numpy(filter_bank(self.wavelet, level, w)).to(x)
            bands = (rows @ group @ columns.T).abs()
            k, j = len(rows) // 2, len(columns) // 2
            low.append(bands[:, :, :k, :j].mean(dim=(2, 3)))
            details = bands[:, :, :k, j:] + bands[:, :, k:, :j] + bands[:, :, k:, j:]
            high.append(details.mean(dim=(2, 3)) / 3)
        return torch.cat(low + high, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with each channel scaled by its attention."""
        return x * torch.sigmoid(self.fc(self.pool(x)))[:, :, None, None]
