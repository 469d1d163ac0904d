"""Faces and what people say of them, by label set: to learn from and to be measured by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS, LabelSet
from training.data.datasets import HOLDOUT_SHARE, Faces, load_fer2013, split_off
from training.data.duplicates import without_copies
from training.data.votes import Votes, load_votes

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
    targets: dict[LabelSet, NDArray[np.float32]]
    labels: dict[LabelSet, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.faces)

    def subset(self, chosen: NDArray[np.bool_]) -> Judged:
        """The faces where ``chosen`` ``(N,)`` is true."""
        targets = {one: rows[chosen] for one, rows in self.targets.items()}
        labels = {one: rows[chosen] for one, rows in self.labels.items()}
        return Judged(self.faces.subset(chosen), targets, labels)

    @classmethod
    def by_fer2013(cls, faces: Faces, smoothing: float = 0.0) -> Judged:
        """With FER2013's single labels alone; a share ``smoothing`` of each is spread over all
        classes alike."""
        targets = np.eye(len(LABELS), dtype=np.float32)[faces.labels]
        targets += np.float32(smoothing) * (np.float32(1 / len(LABELS)) - targets)
        return cls(faces, {LabelSet.FER2013: targets}, {LabelSet.FER2013: faces.labels})

    @classmethod
    def by_both(cls, faces: Faces, votes: Votes, smoothing: float = 0.0) -> Judged:
        """With FER2013's labels, and with what people voted (``labels`` by FER+'s protocol)."""
        judged = cls.by_fer2013(faces, smoothing)
        judged.targets[LabelSet.CROWD] = np.where(
            votes.usable[:, None], votes.distribution, np.float32(0)
        )
        judged.labels[LabelSet.CROWD] = votes.protocol()[0]
        return judged


def judged_part(data: Path, votes: Path | None, usage: str) -> Judged:
    """A part of the data set, by FER2013's labels, and with ``votes`` by the crowd's too.

    Raises:
        DataError: data or votes are not as they should be.
    """
    faces = load_fer2013(data, usage)
    if votes is None:
        return Judged.by_fer2013(faces)
    return Judged.by_both(faces, load_votes(votes, faces, usage))


def parts(
    data: Path, votes: Path | None, smoothing: float = 0.0
) -> tuple[Judged, dict[str, Judged], int]:
    """What a run learns from, what it is measured on (``holdout`` and ``public_test``), and how
    many faces it does not learn from.

    By FER2013's label, smoothed by ``smoothing`` for learning; with a file of ``votes`` by the
    crowd's too. Not learnt from are copies of faces that are measured, and with votes those that
    people took for no face, or had no votes for.

    Raises:
        DataError: data or votes are not as they should be.
    """
    train, holdout = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
    held_out = (
        Judged.by_fer2013(holdout)
        if votes is None
        else Judged.by_both(holdout, load_votes(votes, holdout, "Training"))
    )
    measured = {"holdout": held_out, "public_test": judged_part(data, votes, "PublicTest")}
    learnt = without_copies(train, *(one.faces for one in measured.values()))
    lesson = Judged.by_fer2013(train, smoothing)
    if votes is not None:
        said = load_votes(votes, train, "Training")
        lesson = Judged.by_both(train, said, smoothing)
        learnt &= said.usable
    return lesson.subset(learnt), measured, int((~learnt).sum())


def shares(judged: Judged) -> dict[LabelSet, tuple[float, ...]]:
    """How common each class is, by label set: a manifest's ``priors``. A label set in which one
    does not occur is left out."""
    found = {}
    for label_set, targets in judged.targets.items():
        total = targets.astype(np.float64).sum(axis=0)
        if (total > 0).all():
            found[label_set] = tuple(round(float(one), 6) for one in total / total.sum())
    return found
