"""Curves of accuracy against bytes, and how many bytes one needs of another's at equal accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.bootstrap import DRAWS, draw_counts, interval

Numbers = NDArray[np.floating[Any]]
STEPS = 21


@dataclass(frozen=True)
class Point:
    """One way to send faces: which answers were right, bool ``(N,)``, and the bytes ``(N,)``."""

    kind: str
    name: str
    right: NDArray[np.bool_]
    sent_bytes: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.right.mean())

    @property
    def bytes_mean(self) -> float:
        """Mean bytes a face."""
        return float(self.sent_bytes.mean())


def hull(sent: Numbers, accuracy: Numbers) -> NDArray[np.int64]:
    """Places of the points ``(P,)`` that no other reaches with fewer bytes, fewest bytes first."""
    order = np.lexsort((-accuracy, sent))
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], accuracy[order][:-1])))
    return np.asarray(order[accuracy[order] > best_before])


def bytes_ratios(
    ours: tuple[Numbers, Numbers], theirs: tuple[Numbers, Numbers]
) -> tuple[Numbers, Numbers, Numbers] | None:
    """``(accuracy, our bytes, their bytes)`` over the accuracies that both curves cover.

    A curve is given as bytes and accuracies ``(P,)``; between the points of its hull the logarithm
    of bytes is taken as linear in accuracy. None where no accuracy is on both.
    """
    hulls = []
    for sent, accuracy in (ours, theirs):
        places = hull(sent, accuracy)
        hulls.append((np.log(sent[places]), accuracy[places]))
    low = max(accuracy[0] for _, accuracy in hulls)
    high = min(accuracy[-1] for _, accuracy in hulls)
    if low > high:
        return None
    at = np.linspace(low, high, STEPS)
    own, other = (np.exp(np.interp(at, accuracy, logs)) for logs, accuracy in hulls)
    return at, own, other


def compare(ours: list[Point], theirs: list[Point]) -> dict[str, Any]:
    """Bytes ours / theirs at equal accuracy: the worst and the (geometric) mean, with intervals.

    ``draws_without`` is the share of draws in which the curves had no accuracy in common.
    """
    found = bytes_ratios(*(_curve(points) for points in (ours, theirs)))
    result: dict[str, Any] = {
        "best_accuracy": round(max(point.accuracy for point in theirs), 6),
        "accuracies": None,
        "ratio_worst": None,
        "ratio_mean": None,
    }
    if found is not None:
        at, own, other = found
        result |= {
            "accuracies": [round(float(at[0]), 4), round(float(at[-1]), 4)],
            "ratio_worst": round(float((own / other).max()), 4),
            "ratio_mean": round(_mean(own / other), 4),
            "at": [
                {
                    "accuracy": round(float(a), 4),
                    "ours": round(float(o), 1),
                    "theirs": round(float(t), 1),
                }
                for a, o, t in zip(at[::5], own[::5], other[::5], strict=True)
            ],
        }
    worst, mean = _drawn(ours, theirs)
    result["draws_without"] = round(1 - len(worst) / DRAWS, 4)
    if worst:
        result["ratio_worst_interval_95"] = interval(np.array(worst))
        result["ratio_mean_interval_95"] = interval(np.array(mean))
    return result


def _curve(points: list[Point]) -> tuple[Numbers, Numbers]:
    return (
        np.array([point.bytes_mean for point in points]),
        np.array([point.accuracy for point in points]),
    )


def _drawn(ours: list[Point], theirs: list[Point]) -> tuple[list[float], list[float]]:
    """Worst and mean ratio of every draw of the faces that has them."""
    points, n = [*ours, *theirs], len(ours[0].right)
    right = np.stack([point.right for point in points], axis=1).astype(float)
    sent = np.stack([point.sent_bytes for point in points], axis=1).astype(float)
    worst, mean, own = [], [], slice(len(ours))
    other = slice(len(ours), None)
    for counts in draw_counts(n, DRAWS):
        for accuracy, size in zip(counts @ right / n, counts @ sent / n, strict=True):
            found = bytes_ratios((size[own], accuracy[own]), (size[other], accuracy[other]))
            if found is not None:
                ratios = found[1] / found[2]
                worst.append(float(ratios.max()))
                mean.append(_mean(ratios))
    return worst, mean


def _mean(ratios: Numbers) -> float:
    return float(np.exp(np.log(ratios).mean()))
