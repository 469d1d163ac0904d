"""Pruning by magnitude, more and more while a network learns (Zhu and Gupta, 2017; paper 004)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Of the training: until then the share grows, afterwards what is left gets used to it.
GROWING = 0.75
# Smaller layers (first ones, depthwise ones) hold few weights and miss each of them.
FEWEST_WEIGHTS = 2048


class MagnitudePruner:
    """Keeps a share of the weights of ``network``'s large layers at zero, those of least magnitude
    in each layer. The share follows the cubic curve of Zhu and Gupta up to ``share``.

    Raises:
        ValueError: ``share`` is not at least 0 and less than 1.
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"a share of weights to prune is from 0 to less than 1, not {share}")
        self.share = share
        self.masks = {
            f"{name}.weight": torch.ones(
                part.weight.shape, dtype=torch.bool, device=part.weight.device
            )
            for name, part in prunable(network).items()
        }

    def wanted(self, progress: float) -> float:
        """The share of zeros at this ``progress`` of the training, 0 to 1."""
        left = 1 - min(1.0, progress / GROWING)
        return self.share * (1 - left**3)

    @torch.no_grad()
    def advance(self, weights: dict[str, Tensor], progress: float) -> None:
        """Choose anew which weights are zero, of ``weights`` as they are now, by name."""
        for name, mask in self.masks.items():
            magnitudes = weights[name].abs().flatten()
            zeros = round(self.wanted(progress) * len(magnitudes))
            mask.fill_(True)
            mask.view(-1)[magnitudes.topk(zeros, largest=False).indices] = False

    @torch.no_grad()
    def apply(self, weights: dict[str, Tensor]) -> None:
        """Zero them, in a state of the network or an average of such."""
        for name, mask in self.masks.items():
            weights[name].mul_(mask)


def prunable(network: nn.Module) -> dict[str, nn.Conv2d]:
    """The layers whose weights are pruned, by name; never the last one, which answers."""
    return {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and part.weight.numel() >= FEWEST_WEIGHTS
    }
