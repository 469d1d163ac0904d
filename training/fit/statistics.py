"""Batch statistics of a network, taken anew."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_MOMENTUM = 0.1


@torch.no_grad()
def refit_statistics(
    network: nn.Module, batches: Iterable[Tensor], precision: torch.autocast
) -> None:
    """Set the statistics of all batch norms to the means over these ``batches`` of views
    ``(N, 1, H, W)``: at another size they are not those of smaller pictures."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for views in batches:
        with precision:
            network(views.to(memory_format=torch.channels_last))
    for norm in norms:
        norm.momentum = _MOMENTUM
