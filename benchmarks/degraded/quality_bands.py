"""Whether ``splitfer.shared.vision.quality`` tells where answers are wrong:
``benchmarks.degraded.degraded --bands``.

Every face counts once for each way to degrade it, and once as it is. That is nobody's camera: the
bands say what a score means, not how often it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.calibration import coverage
from benchmarks.accuracy.paths import crops_of
from benchmarks.degraded.answers import Answers, Truth, right
from benchmarks.degraded.degradations import CLEAN, DEGRADATIONS, SEVERE, Degradation
from splitfer.shared.prior import drawn_to_prior
from splitfer.shared.vision.quality import measures, quality_parts
from training.data.datasets import SIDE

Row = dict[str, Any]
PARTS = ("size", "sharpness", "brightness", "contrast")
# Lower ends; the last one is for pictures where nothing is amiss.
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
THRESHOLDS = (0.0, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
# The network's own confidence, and the one of answers, which has fallen with the quality.
ALONE, WITH = "the network's confidence", "fallen with quality"


def measured(
    pictures: NDArray[np.uint8], ways: Mapping[str, Degradation]
) -> dict[str, NDArray[np.float64]]:
    """``quality.measures`` ``(N, 3)`` of pictures ``(N, 48, 48)``, by degradation."""
    return {
        name: np.stack([measures(crops_of(one[None])[0]) for one in degradation.apply(pictures)])
        for name, degradation in ways.items()
    }


def parts_of(
    found: dict[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Parts ``(4, N)`` of what ``measured`` gave; the whole picture is the face's square."""
    return {
        name: quality_parts(values, np.full(len(values), sides_px(name)))
        for name, values in found.items()
    }


def sides_px(name: str) -> float:
    """How many pixels a side of a crop of this degradation was made of."""
    return float((DEGRADATIONS | SEVERE)[name].side_px or SIDE)


def measure(
    ours: dict[str, Answers],
    truths: dict[str, Truth],
    pictures: NDArray[np.uint8],
    shares: dict[str, tuple[float, ...]],
) -> Row:
    """``shares`` say by label set how common answers take each label to be.

    ``by_kind``: mean score and parts of each degradation. By label set and path: ``bands`` of the
    score, ``area`` under the risk-coverage curves, the curves, and ``thresholds``.
    """
    ways = {name: one for name, one in (DEGRADATIONS | SEVERE).items() if name in _ways(ours)}
    parts = parts_of(measured(pictures, ways))
    scores = {name: one.min(axis=0) for name, one in parts.items()}
    return {
        "by_kind": {
            name: {"score": _mean(scores[name])}
            | {part: _mean(values) for part, values in zip(PARTS, one, strict=True)}
            for name, one in parts.items()
        },
        "label_sets": {
            name: {
                path: row(by_kind, scores, truth, shares[name])
                for path, by_kind in ours[name].items()
            }
            for name, truth in truths.items()
        },
    }


def _ways(ours: dict[str, Answers]) -> set[str]:
    return {way for answers in ours.values() for by_kind in answers.values() for way in by_kind}


def row(
    by_kind: dict[str, NDArray[np.float32]],
    scores: dict[str, NDArray[np.float64]],
    truth: Truth,
    shares: tuple[float, ...],
) -> Row:
    """Probabilities ``(N, 7)`` and scores ``(N,)`` by degradation, all of them taken together."""
    correct = np.concatenate([right(said, truth) for said in by_kind.values()])
    answers = np.concatenate([said[truth.counted] for said in by_kind.values()])
    confidence = answers.max(axis=1)
    score = np.concatenate([scores[name][truth.counted] for name in by_kind])
    clean = np.repeat([name == CLEAN for name in by_kind], truth.counted.sum())
    # As `splitfer.shared.contracts.trust_in` does it, of all at once.
    drawn = drawn_to_prior(answers, np.array(shares), score)
    together = drawn[np.arange(len(drawn)), answers.argmax(axis=1)].astype(np.float32)
    return {
        "bands": bands(confidence, together, correct, score),
        "area": {ALONE: area(confidence, correct), WITH: area(together, correct)},
        "coverage": {ALONE: coverage(confidence, correct), WITH: coverage(together, correct)},
        "thresholds": [_threshold(end, together, correct, clean) for end in THRESHOLDS],
    }


def bands(
    confidence: NDArray[np.float32],
    fallen: NDArray[np.float32],
    correct: NDArray[np.bool_],
    score: NDArray[np.float64],
) -> list[Row]:
    """Accuracy and mean confidence, the network's and that which has fallen, by band of the score;
    bands without a face are left out."""
    places = np.searchsorted(EDGES, score, side="right") - 1
    found = []
    for place, low in enumerate(EDGES):
        chosen = places == place
        if chosen.any():
            found.append(
                {
                    "from": low,
                    "to": EDGES[place + 1] if place + 1 < len(EDGES) else 1.0,
                    "n": int(chosen.sum()),
                    "accuracy": _mean(correct[chosen]),
                    "confidence_mean": _mean(confidence[chosen]),
                    "fallen_mean": _mean(fallen[chosen]),
                }
            )
    return found


def area(sureness: NDArray[np.float32], correct: NDArray[np.bool_]) -> float:
    """Under the risk-coverage curve: the share of wrong answers among the k surest, averaged over
    all k. Among equals each order is as likely, and their average counts."""
    _, place, n = np.unique(-sureness, return_inverse=True, return_counts=True)
    wrong = (np.bincount(place, ~correct) / n)[np.sort(place)]
    return round(float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean()), 6)


def _threshold(
    end: float,
    sureness: NDArray[np.float32],
    correct: NDArray[np.bool_],
    clean: NDArray[np.bool_],
) -> Row:
    """What calling answers below ``end`` uncertain does: how many, and how right the others are."""
    uncertain = sureness < end
    return {
        "threshold": end,
        "uncertain": _mean(uncertain),
        "uncertain_of_clean": _mean(uncertain[clean]),
        "accuracy_of_the_rest": _mean(correct[~uncertain]) if not uncertain.all() else None,
        "accuracy_of_uncertain": _mean(correct[uncertain]) if uncertain.any() else None,
    }


def _mean(values: NDArray[Any]) -> float:
    return round(float(values.mean()), 4)
