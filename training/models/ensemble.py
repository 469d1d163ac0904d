"""Several tails on one latent: larger and slower, nothing changes for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shared.labels import LABELS


class Ensemble(nn.Module):
    """The members' answers averaged: ``y_hat`` ``(N, 8, H, W)`` -> logits ``(N, 7 L)`` for L
    label sets.

    Probabilities are averaged, not logits, and given back as their logarithms.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logarithms of the mean probabilities."""
        logits = torch.stack([member(y_hat) for member in self.members])
        members, n, outputs = logits.shape
        answers = logits.view(members, n, outputs // len(LABELS), len(LABELS)).softmax(dim=3)
        return answers.mean(dim=0).clamp(min=1e-12).log().flatten(1)
