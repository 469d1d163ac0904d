"""Faces and what people say of them, by label set: what weights are calibrated and measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.labels import LABELS, LabelSet
from training.datasets import Faces

# The hard label of a face that does not count for accuracy.
LEFT_OUT = -1


@dataclass(frozen=True)
class Judged:
    """``faces``, and by label set what is said of them.

    ``targets`` float32 ``(N, 7)``: the share of people that name each class. Rows sum to 1; a row
    of zeros is a face of which nothing is said in this label set, and does not count. ``labels``
    int64 ``(N,)``: the one right class, for accuracy; ``LEFT_OUT`` where the face does not count,
    and a number of 7 or more is a class that no answer has.
    """

    faces: Faces
    targets: Mapping[LabelSet, NDArray[np.float32]]
    labels: Mapping[LabelSet, NDArray[np.int64]]

    @classmethod
    def by_fer2013(cls, faces: Faces) -> Judged:
        """With FER2013's single labels alone."""
        targets = np.eye(len(LABELS), dtype=np.float32)[faces.labels]
        return cls(faces, {LabelSet.FER2013: targets}, {LabelSet.FER2013: faces.labels})


def shares(judged: Judged) -> dict[LabelSet, tuple[float, ...]]:
    """How common each class is, by label set: a manifest's ``priors``. A label set in which one
    does not occur is left out."""
    found = {}
    for label_set, targets in judged.targets.items():
        total = targets.astype(np.float64).sum(axis=0)
        if (total > 0).all():
            found[label_set] = tuple(round(float(one), 6) for one in total / total.sum())
    return found
