"""Faces with what each label set says of them: to learn from and to be measured by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.labels import LABELS
from training.datasets import Faces


@dataclass(frozen=True)
class Judgement:
    """What one label set says of N faces.

    ``targets`` float32 ``(N, 7)``: a distribution over the classes each, to learn from. ``labels``
    int64 ``(N,)``: the class that counts as right, -1 where the face does not count.
    """

    targets: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """N faces and their judgement by each label set, in the order of a tail's outputs."""

    faces: Faces
    by: dict[str, Judgement]

    def __len__(self) -> int:
        return len(self.faces)

    def subset(self, chosen: NDArray[np.bool_]) -> Judged:
        """The faces where ``chosen`` ``(N,)`` is true."""
        by = {
            name: Judgement(one.targets[chosen], one.labels[chosen])
            for name, one in self.by.items()
        }
        return Judged(self.faces.subset(chosen), by)


def by_fer2013(faces: Faces, smoothing: float = 0.0) -> Judgement:
    """FER2013's single label, the class's share lowered by ``smoothing`` for that of all alike."""
    classes = len(LABELS)
    targets = np.full((len(faces), classes), smoothing / classes, np.float32)
    targets[np.arange(len(faces)), faces.labels] += np.float32(1 - smoothing)
    return Judgement(targets, faces.labels)


def judged_by_fer2013(faces: Faces, smoothing: float = 0.0) -> Judged:
    """``faces`` judged by FER2013's single label alone; see ``by_fer2013``."""
    return Judged(faces, {"fer2013": by_fer2013(faces, smoothing)})
