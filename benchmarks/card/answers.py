"""What each path answered, in one label set, as a user gets it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.paths import TOGETHER, Column, Paths, Scores
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights.manifest import LOCAL_TAIL


@dataclass(frozen=True, eq=False)
class Answers:
    """``path``, ``tail`` and ``rate`` (empty: no latent is sent) by name; ``scores`` of all faces
    and their calibrated ``probabilities`` float32 ``(N, 7)``."""

    path: str
    tail: str
    rate: str
    temperature: float
    scores: Scores
    probabilities: NDArray[np.float32]

    @property
    def classes(self) -> NDArray[np.int64]:
        """The answer to each face ``(N,)``."""
        return np.asarray(self.scores.logits.argmax(axis=1))


def answers_of(
    paths: Paths, columns: dict[str, Column], scores: dict[Column, Scores]
) -> dict[str, Answers]:
    """By name, in the label set of ``paths``; where there are ``cloud`` and ``local``, the mean of
    both too."""
    rates = paths.weights.manifest.rates
    found = {}
    for name, column in columns.items():
        own = scores[column].asked(paths.label_set)
        by_cloud = column.path is AnswerPath.CLOUD
        tail = paths.tail if by_cloud else LOCAL_TAIL
        found[name] = Answers(
            str(column.path),
            tail,
            rates[column.rate].name if by_cloud else "",
            paths.weights.temperature(tail, column.rate, paths.label_set),
            own,
            paths.probabilities(column, own),
        )
    if {"cloud", "local"} <= set(columns):
        rate = columns["cloud"].rate
        both = paths.together(found["local"].scores, found["cloud"].scores, rate)
        # The mean of two that are calibrated has no temperature of its own.
        found[TOGETHER] = Answers(
            TOGETHER, paths.tail, rates[rate].name, 1.0, both, np.exp(both.logits)
        )
    return found
