"""The learned cut through the split point: 116 channels to 8 small integers each, and back.

    features (N,116,28,28) -> Encoder -> z (N,8,28,28) -> quantise at a rate -> y uint8    edge
    y -> dequantise at the rate -> y_hat -> Decoder -> features' (N,116,28,28)            cloud

Both are a linear map, and a small residual network that starts at nothing: what the cloud needs of
the features is not what the local tail needs of them.

A rate is a gain per channel: ``v = round(z * gain)``, ``y_hat = v / gain``. So one head offers
several rates, and the edge can turn the rate per frame after the head ran. Most values of ``v``
are 0; what they cost is learned by the prior, which the entropy coder follows with integers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.shufflenet_v2 import conv_bn

LATENT_CHANNELS = 8
ZERO_SYMBOL = 128
SYMBOL_LIMIT = 15
# In order of falling bytes. Gains start this far apart.
RATES = ("high", "default", "low")
DEFAULT_RATE = RATES.index("default")
_FIRST_GAINS = (1.4, 1.0, 0.65)
_KERNEL = 3
_WIDTH = 48


def quantise(z: Tensor, gain: Tensor) -> Tensor:
    """Symbols of ``z``: float ``(N, 8, H, W)`` -> whole numbers 113..143 of the same dtype.

    ``gain`` ``(8,)``. Halves round to even, in torch as in NumPy.
    """
    v = torch.round(z * gain.view(1, -1, 1, 1))
    return torch.clamp(v, -SYMBOL_LIMIT, SYMBOL_LIMIT) + ZERO_SYMBOL


def dequantise(y: Tensor, step: Tensor) -> Tensor:
    """``y_hat`` of symbols ``y`` ``(N, 8, H, W)``; ``step`` ``(N, 8)`` is 1 / gain."""
    return (y - ZERO_SYMBOL) * step[:, :, None, None]


class Encoder(nn.Module):
    """``(N, 116, H, W)`` -> ``z`` ``(N, 8, H, W)``, in steps of a quantiser of gain 1."""

    def __init__(self, channels: int, latent_channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, latent_channels, 1)
        last = nn.Conv2d(_WIDTH, latent_channels, _KERNEL, padding=_KERNEL // 2)
        self.residual = residual(conv_bn(channels, _WIDTH, 1), last)

    def forward(self, features: Tensor) -> Tensor:
        """``z`` of the features, not rounded."""
        z: Tensor = self.conv(features) + self.residual(features)
        return z


class Decoder(nn.Module):
    """``y_hat`` ``(N, 8, H, W)`` -> ``(N, 116, H, W)``.

    3x3, because neighbours tell what a coarse step has lost.
    """

    def __init__(self, channels: int, latent_channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(latent_channels, channels, _KERNEL, padding=_KERNEL // 2)
        first = conv_bn(latent_channels, _WIDTH, _KERNEL)
        self.residual = residual(first, nn.Conv2d(_WIDTH, channels, 1))

    def forward(self, y_hat: Tensor) -> Tensor:
        """The features that ``y_hat`` stands for."""
        features: Tensor = self.conv(y_hat) + self.residual(y_hat)
        return features


def residual(first: list[nn.Module], last: nn.Conv2d) -> nn.Sequential:
    """A convolution with its norm, a ReLU, and a convolution that is zero at first."""
    nn.init.zeros_(last.weight)
    nn.init.zeros_(bias(last))
    return nn.Sequential(*first, nn.ReLU(inplace=True), last)


def bias(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


class Gains(nn.Module):
    """The gain of each rate and channel, learned: ``gains()`` is ``(R, 8)``, positive."""

    def __init__(self) -> None:
        super().__init__()
        first = torch.tensor(_FIRST_GAINS).log()[:, None].repeat(1, LATENT_CHANNELS)
        self.log = nn.Parameter(first)

    def gains(self) -> Tensor:
        """``(R, 8)``."""
        return self.log.exp()

    def forward(self, z: Tensor, rate: int) -> tuple[Tensor, Tensor]:
        """``z`` ``(N, 8, H, W)`` -> values ``v`` (whole numbers) and ``y_hat``, both of its shape.

        Forward they are rounded, backward the rounding is the identity.
        """
        gain = self.gains()[rate]
        scaled = z * gain.view(1, -1, 1, 1)
        rounded = quantise(z, gain) - ZERO_SYMBOL
        v = scaled + (rounded - scaled).detach()
        return v, v / gain.view(1, -1, 1, 1)


class Prior(nn.Module):
    """What the values of a latent cost, given those coded before: for training alone.

    Channel by channel, each in raster order. A value is logistic around a linear function of its
    known neighbours (3x3: W, NW, N, NE of its own channel, all nine of lower ones); the scale is
    linear in their magnitudes. The entropy coder has tables of its own, fitted afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        n = LATENT_CHANNELS
        # Rates lie one after another: torch lays out four dimensions at most, channels last.
        self.location = nn.Parameter(torch.zeros(len(RATES) * n, n, _KERNEL, _KERNEL))
        self.spread = nn.Parameter(torch.full((len(RATES) * n, n, _KERNEL, _KERNEL), 0.02))
        self.location_bias = nn.Parameter(torch.zeros(len(RATES), n))
        self.spread_bias = nn.Parameter(torch.full((len(RATES), n), 0.3))
        mask = torch.zeros(n, n, _KERNEL, _KERNEL)
        for channel in range(n):
            mask[channel, :channel] = 1
            mask[channel, channel].view(-1)[: _KERNEL * _KERNEL // 2] = 1
        self.register_buffer("mask", mask, persistent=False)

    def bits(self, v: Tensor, rate: int) -> Tensor:
        """Bits of each latent ``v`` ``(N, 8, H, W)`` (whole numbers): ``(N,)``."""
        pad, mask = _KERNEL // 2, self.get_buffer("mask")
        v, rows = v.float(), slice(rate * LATENT_CHANNELS, (rate + 1) * LATENT_CHANNELS)
        location = F.conv2d(v, self.location[rows] * mask, self.location_bias[rate], padding=pad)
        spread = F.conv2d(v.abs(), self.spread[rows] * mask, self.spread_bias[rate], padding=pad)
        scale = F.softplus(spread, beta=4).clamp(min=0.05)
        off = (v - location).abs()
        # Of the two equal forms the one in the lower tail loses no digits.
        share = torch.sigmoid((0.5 - off) / scale) - torch.sigmoid((-0.5 - off) / scale)
        return -share.clamp(min=1e-6).log2().sum(dim=(1, 2, 3))
