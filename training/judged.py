"""Faces with what each label set says of them: to learn from and to be measured by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.labels import LABELS
from training.datasets import HOLDOUT_SHARE, Faces, load_fer2013, split_off
from training.duplicates import without_copies
from training.votes import Votes, load_votes


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


def by_crowd(votes: Votes) -> Judgement:
    """What people said of each face: their votes' distribution, and FER+'s protocol."""
    return Judgement(votes.distribution, votes.protocol()[0])


def parts(
    data: Path, votes: Path | None, smoothing: float
) -> tuple[Judged, dict[str, Judged], int]:
    """What a run learns from, what it is measured on (``holdout`` and ``public_test``), and how
    many faces it does not learn from.

    By FER2013's label, smoothed by ``smoothing`` for learning; with a file of ``votes`` by the
    crowd's too. Not learnt from are copies of faces that are measured, and with votes those that
    people took for no face, or had no votes for.

    Raises:
        DataError: data or votes are not as they should be.
    """
    whole = load_fer2013(data, "Training")
    train, held_out = split_off(whole, HOLDOUT_SHARE)
    public_test = load_fer2013(data, "PublicTest")
    learnt = without_copies(train, held_out, public_test)
    measured = {
        "holdout": judged_by_fer2013(held_out),
        "public_test": judged_by_fer2013(public_test),
    }
    lesson = judged_by_fer2013(train, smoothing)
    if votes is not None:
        usable = load_votes(votes, train, "Training")
        learnt &= usable.usable
        lesson.by["crowd"] = by_crowd(usable)
        measured["holdout"].by["crowd"] = by_crowd(load_votes(votes, held_out, "Training"))
        measured["public_test"].by["crowd"] = by_crowd(load_votes(votes, public_test, "PublicTest"))
    return lesson.subset(learnt), measured, int((~learnt).sum())
