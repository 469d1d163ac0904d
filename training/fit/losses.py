"""What a split model is taught by: cross entropies over label sets, and how far tails disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from splitfer.shared.labels import LABELS, LabelSet
from training.data.judged import Judged


def by_label_set(flat: Tensor) -> Tensor:
    """``(N, 7 L)`` -> ``(N, L, 7)``."""
    return flat.view(len(flat), -1, len(LABELS))


def cross_entropy(logits: Tensor, targets: Tensor, weights: Sequence[float]) -> Tensor:
    """In nats, each label set with its weight; both ``(N, 7 L)``. The sum over the members where
    the logits are an ensemble's ``(M N, 7 L)``."""
    if len(logits) > len(targets):
        parts = torch.split(logits, len(targets))
        return torch.stack([cross_entropy(one, targets, weights) for one in parts]).sum()
    answers = by_label_set(logits).log_softmax(dim=2)
    by_set = -(by_label_set(targets) * answers).sum(dim=2).mean(dim=0)
    return (by_set * by_set.new_tensor(weights)).sum()


def mean_answer(logits: Sequence[Tensor]) -> Tensor:
    """Logarithms ``(N, 7 L)`` of the mean of several tails' probabilities."""
    both = [by_label_set(one.float()).softmax(dim=2) for one in logits]
    return torch.stack(both).mean(dim=0).clamp(min=1e-6).log().flatten(1)


def divergence(logits: Sequence[Tensor]) -> Tensor:
    """Of each tail's answers ``(N, 7 L)`` from the mean of all (which is not moved by it), in
    nats, summed over the label sets (Zhang et al., 2018)."""
    answers = [by_label_set(one) for one in logits]
    mean = torch.stack([one.softmax(dim=2) for one in answers]).mean(dim=0).detach()
    parts = [F.kl_div(one.log_softmax(dim=2), mean, reduction="batchmean") for one in answers]
    return torch.stack(parts).sum()


def targets_of(faces: Judged, label_sets: Sequence[str]) -> Tensor:
    """What the label sets say of each face, one after the other: ``(N, 7 L)``.

    Raises:
        ValueError: one of them has not judged the faces.
    """
    for name in label_sets:
        if name not in faces.targets:
            raise ValueError(f"the network answers {name!r}, and no such labels were given")
    found = [faces.targets[LabelSet(name)] for name in label_sets]
    return torch.from_numpy(np.concatenate(found, axis=1))
