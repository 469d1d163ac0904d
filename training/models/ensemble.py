"""Several tails on one latent: larger and slower, nothing changes for the device.

    y_hat (N, 8, 28, 28) -> each member, on the latent and on its mirror image -> mean probabilities

A mirrored latent is not the latent of the mirrored face, but near it: members that have learnt from
both answer each in their own way, and the mean is better than either.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from splitfer.shared.labels import LABELS


class Ensemble(nn.Module):
    """The members' answers averaged: ``y_hat`` ``(N, 8, H, W)`` -> logits ``(N, 7 L)`` for L
    label sets.

    Probabilities are averaged, not logits, and given back as their logarithms; where ``mirrored``,
    over the mirror images too. In training the members answer one by one, for each learns alone:
    logits ``(M N, 7 L)``, member after member, half of the latents mirrored.
    """

    def __init__(self, members: Sequence[nn.Module], mirrored: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mirrored = mirrored

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logarithms of the mean probabilities; in training each member's logits."""
        if self.training:
            if self.mirrored:
                chosen = torch.rand(len(y_hat), 1, 1, 1, device=y_hat.device) < 0.5
                y_hat = torch.where(chosen, y_hat.flip(3), y_hat)
            return torch.cat([member(y_hat) for member in self.members])
        views = (y_hat, y_hat.flip(3)) if self.mirrored else (y_hat,)
        logits = torch.stack([member(view) for member in self.members for view in views])
        members, n, outputs = logits.shape
        answers = logits.view(members, n, outputs // len(LABELS), len(LABELS)).softmax(dim=3)
        return answers.mean(dim=0).clamp(min=1e-12).log().flatten(1)
