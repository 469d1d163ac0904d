"""What one face shows, smoothed over time: a mean that forgets, a word that does not flicker."""

from __future__ import annotations

import math

from splitfer.shared.contracts import SmoothedAnswer
from splitfer.shared.labels import LABELS

# How much more probable another class must be before the word changes.
_MARGIN = 0.15
# An answer of a picture that shows little counts so much.
_UNCERTAIN_WEIGHT = 0.3


class Smoothing:
    """Answers of one face -> their mean, in which one from ``smooth_s`` ago counts a third of one
    from now. Its word changes where another class is ahead by a margin."""

    def __init__(self, smooth_s: float) -> None:
        self._smooth_s = smooth_s
        self._sums = [0.0] * len(LABELS)
        self._weight = self._qualities = 0.0
        self._last_s = 0.0
        self._shown: int | None = None

    def add(
        self,
        time_s: float,
        probabilities: tuple[float, ...],
        uncertain: bool,
        quality: float = 1.0,
    ) -> SmoothedAnswer:
        """The mean with one more answer."""
        if self._weight:
            kept = math.exp(-max(0.0, time_s - self._last_s) / self._smooth_s)
            self._sums = [kept * one for one in self._sums]
            self._weight *= kept
            self._qualities *= kept
        weight = _UNCERTAIN_WEIGHT if uncertain else 1.0
        self._sums = [s + weight * p for s, p in zip(self._sums, probabilities, strict=True)]
        self._weight += weight
        self._qualities += weight * quality
        self._last_s = time_s
        mean = tuple(one / self._weight for one in self._sums)
        first = mean.index(max(mean))
        if self._shown is None or mean[first] > mean[self._shown] + _MARGIN:
            self._shown = first
        return SmoothedAnswer(LABELS[self._shown], mean, self._qualities / self._weight)
