"""How common each class is taken to be, in training and in answers.

A network learns how common each class is in what it is shown. ``balanced`` takes that out again:
each class then counts as if all were equally common, which finds more of the rare ones and is wrong
more often on the common ones.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Prior(StrEnum):
    """As common as in training, or all alike."""

    NATURAL = "natural"
    BALANCED = "balanced"


# Where none is asked for, and the weights say how common the classes were.
DEFAULT_PRIOR = Prior.NATURAL


def balanced(
    probabilities: NDArray[np.floating[Any]], prior: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Probabilities ``(N, 7)`` under a ``prior`` ``(7,)``, all positive -> float32 ``(N, 7)`` under
    an even one; rows sum to 1: p / prior, renormalised (logit adjustment, Menon et al., 2021)."""
    weighed = np.asarray(probabilities, np.float64) / np.asarray(prior, np.float64)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True), np.float32)
