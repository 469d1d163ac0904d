"""The learned cut through the split point: 116 channels to 8 small integers each, and back.

    features (N,116,28,28) -> Encoder 1x1 -> z -> quantise -> y uint8 (N,8,28,28)   on the edge
    y -> dequantise -> y_hat -> Decoder 1x1 -> features' (N,116,28,28)              in the cloud

The quantiser has a fixed step of 1 and 256 symbols; how fine it really is lies in the scale that
the encoder learns. So a rate term only has to pull on the encoder's weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LATENT_CHANNELS = 8
ZERO_SYMBOL = 128


def quantise(z: Tensor) -> Tensor:
    """Symbols of ``z``: float ``(N, 8, H, W)`` -> whole numbers 0..255 of the same dtype.

    Halves round to even, in torch as in ONNX.
    """
    return torch.clamp(torch.round(z) + ZERO_SYMBOL, 0, 255)


def dequantise(y: Tensor) -> Tensor:
    """``y_hat`` of symbols ``y``: whole numbers 0..255 -> float in -128..127."""
    return y - ZERO_SYMBOL


class Encoder(nn.Module):
    """``(N, 116, H, W)`` -> ``z`` ``(N, 8, H, W)``, in quantiser steps."""

    def __init__(self, channels: int, latent_channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, latent_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``z`` of the features, not rounded."""
        z: Tensor = self.conv(features)
        return z


class Decoder(nn.Module):
    """``y_hat`` ``(N, 8, H, W)`` -> ``(N, 116, H, W)``."""

    def __init__(self, channels: int, latent_channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(latent_channels, channels, 1)

    def forward(self, y_hat: Tensor) -> Tensor:
        """The features that ``y_hat`` stands for."""
        features: Tensor = self.conv(y_hat)
        return features


def straight_through(z: Tensor) -> Tensor:
    """``y_hat`` of ``z`` for training: the rounded value forward, the identity backward."""
    return z + (dequantise(quantise(z)) - z).detach()
