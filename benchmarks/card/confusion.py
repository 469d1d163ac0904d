"""Which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.labels import LABELS


@dataclass(frozen=True, eq=False)
class Confusion:
    """``counts`` int64 ``(7, 7)``: rows are labels, columns are answers."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Confusion:
        """From indices ``(N,)`` of labels and answers."""
        k = len(LABELS)
        return cls(np.bincount(labels * k + answers, minlength=k * k).reshape(k, k))

    @property
    def faces(self) -> NDArray[np.int64]:
        """Faces by label ``(7,)``."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def answers(self) -> NDArray[np.int64]:
        """Answers by class ``(7,)``."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def accuracy(self) -> float:
        """Share of right answers over all faces."""
        return float(self.counts.trace() / self.counts.sum())

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of a label's faces that are answered right ``(7,)``; 0 where there is no face."""
        return np.asarray(self.counts.diagonal() / np.maximum(self.faces, 1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of a class's answers that are right ``(7,)``; 0 where there is no answer."""
        return np.asarray(self.counts.diagonal() / np.maximum(self.answers, 1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall ``(7,)``."""
        both = np.maximum(self.faces + self.answers, 1)
        return np.asarray(2 * self.counts.diagonal() / both)

    @property
    def shares(self) -> NDArray[np.float64]:
        """``counts`` as shares of their row ``(7, 7)``."""
        return np.asarray(self.counts / np.maximum(self.faces, 1)[:, None])

    def worst(self, most: int) -> list[tuple[int, int]]:
        """``(label, answer)`` of the wrong cells with the largest shares of their label's faces."""
        shares = self.shares
        np.fill_diagonal(shares, -1)
        order = np.argsort(-shares, axis=None, kind="stable")[:most]
        return [divmod(int(place), len(LABELS)) for place in order]
