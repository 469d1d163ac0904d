"""Paper 001's tail as some weights have it, with attention modules held at what they answer on
average: so it shows what a trained tail owes to their answering each face differently."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from splitfer.shared.weights import Weights
from training.fit.shipped import load_shipped, prefix_of, shipped_config
from training.models.asp import ASP
from training.models.sfp import SFP
from training.models.split_model import CloudTail


class Held(nn.Module):
    """``x`` scaled by a constant that no training moves."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C, H, W)``."""
        return x * self.get_buffer("scale")


@torch.no_grad()
def trained_tail(weights: Weights, tail: str, y_hat: Tensor) -> CloudTail:
    """The cloud tail of that name, to be trained. ``y_hat`` ``(N, 8, 28, 28)`` is what the norms'
    statistics are measured on.

    Raises:
        ValueError: these weights have no such tail, or it is not paper 001's.
    """
    network = CloudTail(shipped_config(weights.folder, tail))
    file = weights.folder / weights.manifest.tails[tail].file
    load_shipped(network, file, prefix_of(file), y_hat)
    return network.eval()


@torch.no_grad()
def held(tail: CloudTail, kept: set[str], y_hat: Tensor) -> CloudTail:
    """A copy of the tail in which the modules that are not in ``kept`` (of ``asp``, ``sfp``) give
    every face the mean of what they give ``y_hat``."""
    tail = copy.deepcopy(tail).eval()
    x = tail.decoder(y_hat)
    for place, module in enumerate(tail.attention):
        assert isinstance(module, ASP | SFP)
        answers = module.attention(x)
        if ("asp" if isinstance(module, ASP) else "sfp") not in kept:
            tail.attention[place] = Held(answers.mean(dim=0, keepdim=True))
        x = x * answers
    return tail
