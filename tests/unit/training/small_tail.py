"""A tail that is exported in a tenth of the time of a real one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from splitfer.shared.contracts import LATENT_SHAPE


class SmallTail(nn.Module):
    """What a network of this code takes and gives, for tests in which it does not matter what is
    in it. Exports of real ones: ``tests.exported_weights``."""

    def __init__(self, seed: int, label_sets: int = 1, channels: int = LATENT_SHAPE[0]) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.classifier = nn.Linear(channels, 7 * label_sets)

    def forward(self, maps: Tensor) -> Tensor:
        """The logits of the maps' means."""
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits
