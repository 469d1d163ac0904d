"""Which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS
from training.data.votes import CONTEMPT

# What rows of ``counts`` are called.
ROWS = (*LABELS, "contempt")


@dataclass(frozen=True, eq=False)
class Confusion:
    """``counts`` int64 ``(7, 7)`` or ``(8, 7)``: rows are labels, columns are answers.

    An eighth row is contempt, which people can say and no answer is: its faces are among the wrong
    answers that accuracy, precision and F1 know of, and it has no recall of its own.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Confusion:
        """From indices ``(N,)`` of labels (up to ``CONTEMPT``) and answers."""
        k = len(LABELS)
        rows = k + int((labels == CONTEMPT).any())
        return cls(np.bincount(labels * k + answers, minlength=rows * k).reshape(rows, k))

    @property
    def faces(self) -> NDArray[np.int64]:
        """Faces by label ``(7,)``."""
        return np.asarray(self.counts.sum(axis=1)[: len(LABELS)])

    @property
    def contempt(self) -> int:
        """Faces of contempt, which are always answered wrong."""
        return int(self.counts[len(LABELS) :].sum())

    @property
    def answers(self) -> NDArray[np.int64]:
        """Answers by class ``(7,)``."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def right(self) -> NDArray[np.int64]:
        """Right answers by label ``(7,)``."""
        return np.asarray(self.counts.diagonal())

    @property
    def accuracy(self) -> float:
        """Share of right answers over all faces."""
        return float(self.right.sum() / self.counts.sum())

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of a label's faces that are answered right ``(7,)``; 0 where there is no face."""
        return np.asarray(self.right / np.maximum(self.faces, 1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of a class's answers that are right ``(7,)``; 0 where there is no answer."""
        return np.asarray(self.right / np.maximum(self.answers, 1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall ``(7,)``."""
        both = np.maximum(self.faces + self.answers, 1)
        return np.asarray(2 * self.right / both)

    @property
    def shares(self) -> NDArray[np.float64]:
        """``counts`` as shares of their row."""
        return np.asarray(self.counts / np.maximum(self.counts.sum(axis=1), 1)[:, None])

    def mean(self, values: NDArray[np.float64]) -> float:
        """Of ``values`` by label ``(7,)``, over the labels with a face."""
        return float(values[self.faces > 0].mean()) if self.faces.any() else 0.0

    def worst(self, most: int) -> list[tuple[int, int]]:
        """``(label, answer)`` of the wrong cells with the largest shares of their label's faces."""
        shares = self.shares[: len(LABELS)]
        np.fill_diagonal(shares, -1)
        order = np.argsort(-shares, axis=None, kind="stable")[:most]
        return [divmod(int(place), len(LABELS)) for place in order]
