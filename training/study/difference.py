"""How much better one variant of a study is than another, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.study.ablation import Run, Study

# By variant's name and seed.
Runs = dict[str, dict[int, Run]]
# All intervals of one table and label set together hold in so many of a hundred repetitions.
CONFIDENCE = 0.95
AS_THERE, AGAINST, UNDECIDED = "as in the paper", "contradicts the paper", "undecided"


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second`` in points, over the seeds that both have."""

    first: str
    second: str
    mean: float
    low: float
    high: float
    seeds: int
    paper: float | None
    claimed: bool

    @property
    def verdict(self) -> str:
        """What our interval says of the paper's claim that ``first`` is better; where it claims
        nothing, which one is, or within how many points they are the same."""
        if not self.claimed:
            within = f"the same within {max(-self.low, self.high):.2f}"
            return "better" if self.low > 0 else "worse" if self.high < 0 else within
        return AS_THERE if self.low > 0 else AGAINST if self.high < 0 else UNDECIDED


def interval(points: NDArray[np.float64], comparisons: int) -> tuple[float, float, float]:
    """Mean, and its bounds, of what faces gained: ``points`` ``(S, N)`` of S seeds (of one where
    chance has no part in it) and N faces; the bounds are one of so many ``comparisons``."""
    seeds, faces = points.shape
    of_seeds = points.mean(axis=1).var(ddof=1) / seeds if seeds > 1 else 0.0
    of_faces = points.mean(axis=0).var(ddof=1) / faces
    mean, variance = float(points.mean()), float(of_seeds + of_faces)
    if variance == 0:
        return mean, mean, mean
    freedom = variance**2 / (of_seeds**2 / max(1, seeds - 1) + of_faces**2 / (faces - 1))
    half = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * comparisons), freedom) * variance**0.5
    return mean, mean - half, mean + half


def difference(study: Study, runs: Runs, label_set: str, pair: tuple[str, str, bool]) -> Difference:
    """One comparison, paired by seed and face."""
    first, second, claimed = pair
    seeds = sorted(runs[first].keys() & runs[second].keys())
    one, other = (
        np.stack([runs[name][seed].right[label_set].array() for seed in seeds]).astype(np.float64)
        for name in (first, second)
    )
    comparisons = len(study.variants) - 1 + len(study.pairs)
    mean, low, high = interval(100 * (one - other), comparisons)
    papers = {variant.name: variant.paper for variant in study.variants}
    mine, others = papers[first], papers[second]
    paper = None if mine is None or others is None else mine - others
    return Difference(first, second, mean, low, high, len(seeds), paper, claimed)


def from_baseline(study: Study, runs: Runs, label_set: str) -> list[Difference]:
    """Each variant against the first. Those that the paper has a figure of are better there."""
    base, *rest = study.variants
    return [
        difference(study, runs, label_set, (v.name, base.name, v.paper is not None)) for v in rest
    ]
