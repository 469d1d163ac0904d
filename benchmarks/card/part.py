"""A part of the data set, and whose word counts there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LabelSet
from training.data.datasets import DataError, Faces, load_fer2013
from training.data.votes import Votes, load_votes


@dataclass(frozen=True, eq=False)
class Part:
    """All faces of a part, with FER2013's labels, and what people said of them where that is
    known."""

    faces: Faces
    votes: Votes | None = None

    @classmethod
    def load(cls, data: Path, votes: Path | None, usage: str) -> Part:
        """The part ``usage``.

        Raises:
            DataError: data or votes are not as they should be.
        """
        faces = load_fer2013(data, usage)
        return cls(faces, None if votes is None else load_votes(votes, faces, usage))

    def first(self, most: int) -> Part:
        """The first ``most`` faces."""
        chosen = np.arange(len(self.faces)) < most
        votes = None if self.votes is None else self.votes.subset(chosen)
        return Part(self.faces.subset(chosen), votes)

    def truth(self, label_set: LabelSet) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The right answers in ``label_set`` ``(N,)``, and which faces count, bool ``(N,)``.

        For ``crowd`` by FER+'s protocol: contempt is a label that no answer has.

        Raises:
            DataError: it is ``crowd`` and there are no votes, or no face counts.
        """
        if label_set is LabelSet.FER2013:
            return self.faces.labels, np.ones(len(self.faces), np.bool_)
        if self.votes is None:
            raise DataError("what people say cannot be measured without their votes")
        labels, chosen = self.votes.protocol()
        if not chosen.any():
            raise DataError("people agree on none of the faces: too few of them are measured")
        return labels, chosen
