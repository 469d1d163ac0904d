"""A good first decoder: the one that brings latents nearest to given maps in the mean square."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.asp import ASP
from training.models.bottleneck import DEFAULT_RATE, LATENT_CHANNELS, Decoder, bias
from training.models.sfp import SFP
from training.models.split_model import CloudTail, SplitModel

# The attention begins near one, yet where the sigmoid still moves.
_FIRST_BIAS = 2.0
_KERNEL = 3


@torch.no_grad()
def follow_local(model: SplitModel, views: Tensor) -> None:
    """Make the cloud tail answer as the local one does, as far as the latent lets it: the decoder
    gives the features back, attention weighs all alike, and the trunk is the local tail's.

    ``views`` ``(N, 1, H, W)`` are what the decoder is fitted on; the cloud tail is ShuffleNetV2's.
    """
    tail = model.cloud_tail
    assert isinstance(tail, CloudTail)
    features = model.eval().head.features(views)
    wanted = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).double()
    fit_decoder(model, tail.decoder, wanted / even_attention(tail.attention), views)
    tail.trunk.load_state_dict(model.local_tail.state_dict())


@torch.no_grad()
def fit_decoder(model: SplitModel, decoder: Decoder, wanted: Tensor, views: Tensor) -> None:
    """Set the linear part of ``decoder`` so that it gives ``wanted`` (a row of channels for each
    place of each view) for the model's latents of ``views`` at the default rate."""
    y_hat = model.eval().gains(model.head(views)[1], DEFAULT_RATE)[1]
    around = F.unfold(y_hat, _KERNEL, padding=_KERNEL // 2)  # (N, 72, 784)
    known = around.transpose(1, 2).reshape(-1, around.shape[1]).double()
    known = torch.cat((known, known.new_ones(len(known), 1)), dim=1)
    ridge = 1e-3 * torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
    fitted = torch.linalg.solve(known.T @ known + ridge, known.T @ wanted)
    conv = decoder.conv
    conv.weight.copy_(fitted[:-1].T.reshape(-1, LATENT_CHANNELS, _KERNEL, _KERNEL))
    bias(conv).copy_(fitted[-1])


def even_attention(modules: nn.Sequential) -> float:
    """Make the modules weigh every place and channel alike, and give that weight: a sigmoid for
    each direction of ASP, and one of SFP."""
    sigmoids = 0
    for module in modules:
        layers: list[nn.Module | None] = []
        if isinstance(module, ASP):
            layers, sigmoids = [module.straight, module.diagonal], sigmoids + len(module.directions)
        elif isinstance(module, SFP):
            layers, sigmoids = [module.fc], sigmoids + 1
        for layer in layers:
            if layer is not None:
                nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
                nn.init.constant_(layer.bias, _FIRST_BIAS)  # type: ignore[arg-type]
    return (1 / (1 + math.exp(-_FIRST_BIAS))) ** sigmoids
