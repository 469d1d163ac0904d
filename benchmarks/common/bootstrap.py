"""How sure a difference is: draw the same faces again and again, with replacement.

Paired: both figures come from the same faces in every draw, so what makes a face hard for both
cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
SEED = 0
_BLOCK = 250


def difference(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy of ``right`` minus that of ``other``, bool ``(N,)`` by face, and its 95 % interval.

    A face counts +1, 0 or -1, so a draw of N faces is one draw of three counts.
    """
    n = len(right)
    better, worse = int((right & ~other).sum()), int((other & ~right).sum())
    shares = np.array([better, worse, n - better - worse]) / n
    counts = np.random.default_rng(SEED).multinomial(n, shares, DRAWS)
    return {
        "difference": round((better - worse) / n, 6),
        "interval_95": interval((counts[:, 0] - counts[:, 1]) / n),
    }


def points(found: dict[str, Any]) -> str:
    """What ``difference`` gave, in words: ``+1.20 points (-0.30 to +2.70)``."""
    low, high = (100 * end for end in found["interval_95"])
    return f"{100 * found['difference']:+.2f} points ({low:+.2f} to {high:+.2f})"


def interval(values: NDArray[np.floating[Any]]) -> list[float]:
    """The middle 95 % of the draws' ``values``."""
    return [round(float(end), 4) for end in np.percentile(values, (2.5, 97.5))]


def draw_counts(n: int, draws: int) -> Iterator[NDArray[np.float64]]:
    """How often each of ``n`` faces is drawn: blocks ``(B, n)`` of ``draws`` rows in all."""
    rng = np.random.default_rng(SEED)
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)
