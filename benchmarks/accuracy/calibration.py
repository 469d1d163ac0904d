"""Whether a probability is worth what it says: part of ``python -m benchmarks accuracy``.

Expected calibration error (Naeini et al., 2015): over bins of the highest probability, the mean
distance between what was promised and what was right, weighted by faces. Bins of equal width are
the usual definition; bins of equal content do not depend on empty ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.paths import TOGETHER, Column, Paths, Scores
from training.study.figure_file import save_figure

BINS = 15
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def measure(
    paths: Paths,
    columns: dict[str, Column],
    scores: dict[Column, Scores],
    judge: Callable[[NDArray[np.float32]], dict[str, Any]],
    plot: Path | None,
) -> dict[str, Any]:
    """Calibration and coverage by column: what ``judge`` finds of probabilities ``(N, 7)``, such as
    ``by_label``; ``plot`` names a PNG to draw."""
    rows = {
        name: judge(paths.probabilities(column, scores[column])) for name, column in columns.items()
    }
    if {"cloud", "local"} <= set(columns):
        cloud = columns["cloud"]
        both = paths.together(scores[columns["local"]], scores[cloud], cloud.rate)
        rows[TOGETHER] = judge(np.exp(both.logits))
    if plot is not None:
        draw(rows, plot)
    return {"calibration": rows}


def by_label(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Any]:
    """The figures of probabilities ``(N, 7)`` where one label a face is right, ``(N,)``."""
    return row(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def row(
    confidence: NDArray[np.float32], right: NDArray[np.bool_ | np.floating[Any]]
) -> dict[str, Any]:
    """The figures of highest probabilities ``(N,)`` and whether each answer was right, or how right
    it was (0 to 1)."""
    width, mass = equal_width(confidence), equal_mass(confidence)
    return {
        "accuracy": round(float(right.mean()), 6),
        "confidence_mean": round(float(confidence.mean()), 6),
        "ece": round(expected_error(confidence, right, width), 4),
        "ece_adaptive": round(expected_error(confidence, right, mass), 4),
        "reliability": [
            {
                "n": int(chosen.sum()),
                "confidence": round(float(confidence[chosen].mean()), 4),
                "accuracy": round(float(right[chosen].mean()), 4),
            }
            for chosen in (width == place for place in range(BINS))
            if chosen.any()
        ],
        "coverage": coverage(confidence, right),
    }


def equal_width(confidence: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bin of each, of ``BINS`` between 0 and 1; an edge belongs to the bin below it."""
    above = np.ceil(confidence.astype(np.float64) * BINS).astype(np.int64)
    return np.clip(above - 1, 0, BINS - 1)


def equal_mass(confidence: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bin of each, of ``BINS`` that hold equally many."""
    places = np.empty(len(confidence), np.int64)
    places[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return places * BINS // len(confidence)


def expected_error(
    confidence: NDArray[np.float32],
    right: NDArray[np.bool_ | np.floating[Any]],
    bins: NDArray[np.int64],
) -> float:
    """The mean distance between promise and outcome over the bins.

    ``right`` ``(N,)``: whether each answer was right, or how right it was (0 to 1).
    """
    gaps = np.bincount(bins, confidence.astype(np.float64) - right, BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def coverage(
    confidence: NDArray[np.float32], right: NDArray[np.bool_ | np.floating[Any]]
) -> list[dict[str, float]]:
    """Accuracy over the surest answers, by their share, and the confidence that separates them.

    That is the threshold below which an answer would be called ``uncertain``.
    """
    order = np.argsort(-confidence, kind="stable")
    rows = []
    for share in COVERAGES:
        kept = order[: max(1, round(share * len(order)))]
        rows.append(
            {
                "coverage": share,
                "threshold": round(float(confidence[kept[-1]]), 4),
                "accuracy": round(float(right[kept].mean()), 4),
            }
        )
    return rows


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    shares = "".join(f"{share:>7.0%}" for share in COVERAGES)
    lines = [f"{'path':<14}{'ECE':>8}{'adaptive':>10}   accuracy over the surest{shares}"]
    for name, found in result["calibration"].items():
        covered = "".join(f"{place['accuracy']:>7.1%}" for place in found["coverage"])
        lines.append(
            f"{name:<14}{found['ece']:>8.4f}{found['ece_adaptive']:>10.4f}{'':>27}{covered}"
        )
    return "\n".join(lines)


def draw(rows: dict[str, Any], target: Path) -> None:
    """Reliability and coverage side by side, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    left.plot((0, 1), (0, 1), color="black", linewidth=0.8, alpha=0.5)
    for name, found in rows.items():
        bins = [place for place in found["reliability"] if place["n"] >= BINS]
        label = f"{name}: ECE {found['ece']:.3f}"
        left.plot(
            [place["confidence"] for place in bins],
            [place["accuracy"] for place in bins],
            marker="o",
            markersize=4,
            label=label,
        )
        right.plot(
            [100 * place["coverage"] for place in found["coverage"]],
            [100 * place["accuracy"] for place in found["coverage"]],
            marker="o",
            markersize=4,
            label=name,
        )
    left.set(xlabel="highest probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="faces answered, the surest first, %", ylabel="accuracy over them, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, target, dpi=120)
    plt.close(figure)
