"""How right and how sure answers are, by what is said of the faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.weights.runtime import softmax
from training.data.judged import LEFT_OUT

Floats = NDArray[np.floating[Any]]


def fit_temperature(logits: NDArray[np.float32], targets: Floats) -> float:
    """The temperature at which the mean of the highest probabilities of ``(N, 7)`` logits is the
    mean share of people that name those classes, ``targets`` ``(N, 7)``; with single labels, the
    share of right answers: expectation consistency (Clarté et al., 2023).

    The one of least cross entropy (Guo et al., 2017) is as good where the probabilities are wrong
    by a temperature alone. With labels as doubtful as FER2013's they are not, and it promised 2
    points more than was right.
    """
    logits, targets = _of_which_something_is_said(logits, targets)
    right = float(targets[np.arange(len(targets)), logits.argmax(axis=1)].mean())
    candidates = np.exp(np.linspace(np.log(0.2), np.log(5.0), 400))
    gaps = [
        abs(float(softmax(logits / np.float32(t)).max(axis=1).mean()) - right) for t in candidates
    ]
    return round(float(candidates[int(np.argmin(gaps))]), 4)


def accuracy(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Share of right answers of probabilities ``(N, 7)`` over the faces that count."""
    counts = labels != LEFT_OUT
    return round(float((probabilities.argmax(axis=1) == labels)[counts].mean()), 5)


def log_loss(probabilities: Floats, targets: Floats) -> float:
    """Mean cross entropy of probabilities ``(N, 7)`` against ``targets`` ``(N, 7)``, in nats."""
    probabilities, targets = _of_which_something_is_said(probabilities, targets)
    losses = -(targets * np.log(np.maximum(probabilities, 1e-9))).sum(axis=1)
    return round(float(losses.mean()), 5)


def _of_which_something_is_said(rows: Floats, targets: Floats) -> tuple[Any, Floats]:
    said = targets.sum(axis=1) > 0
    return rows[said], targets[said]
