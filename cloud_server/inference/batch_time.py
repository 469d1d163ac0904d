"""How long a batch takes on this device: a line, learnt from the batches that ran.

    time of n items = a + b * n        a: what any batch costs; b: what one more item adds

Runs are kept by size class (1, 2, 3-4, 5-8, ...), and each class speaks by the median of its last
few: one slow run says nothing. The line is fitted through the classes; one that was seen lately
counts more, so that it follows a machine that gets slower, and the others still hold its slope.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from statistics import median

from splitfer.shared.deadline import Clock

# An odd number: five slow runs of one size are no accident.
_RECENT = 9
# How much less a class counts with each run of another one, and how little at the least.
_FADING, _LEAST_WEIGHT = 0.8, 0.01
# An estimate this old is tried again before anything is refused because of it: what refuses
# everything would never learn that it is wrong.
_FRESH_S = 1.0


@dataclass
class _SizeClass:
    per_item_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    sizes: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))
    seen: int = 0  # the number of the run that was the last of this class
    inverse: float = 1.0  # of the mean size
    median_s: float = 0.0  # of an item

    def saw(self, size: int, took_s: float, run: int) -> None:
        """Note a run of this size."""
        self.per_item_s.append(took_s / size)
        self.sizes.append(size)
        self.seen = run
        self.inverse = len(self.sizes) / sum(self.sizes)
        self.median_s = median(self.per_item_s)


class BatchTime:
    """The running estimate. All times in seconds of ``clock``."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._classes: dict[int, _SizeClass] = {}
        self._runs = 0
        self._learnt_s = -math.inf
        self._fixed_s = self._per_item_s = 0.0

    @property
    def fresh(self) -> bool:
        """Whether a run confirmed the estimate lately."""
        return self._clock() - self._learnt_s < _FRESH_S

    def learn(self, size: int, took_s: float) -> None:
        """Learn that a batch of ``size`` took ``took_s``."""
        self._runs += 1
        self._learnt_s = self._clock()
        one = self._classes.setdefault((size - 1).bit_length(), _SizeClass())
        one.saw(size, took_s, self._runs)
        self._fit()

    def of(self, size: int) -> float:
        """What a batch of ``size`` would take; 0 while nothing is known."""
        return self._fixed_s + self._per_item_s * size

    def within(self, seconds: float, most: int) -> int:
        """The largest batch, of at most ``most``, that takes no longer; 0 where none does."""
        if self.of(most) <= seconds:
            return most
        if self.of(1) > seconds:
            return 0
        return int((seconds - self._fixed_s) / self._per_item_s)

    def _fit(self) -> None:
        """Least squares of the time per item, ``a / n + b``: so each class counts alike."""
        total = x = y = 0.0
        weights = []
        for one in self._classes.values():
            weight = max(_LEAST_WEIGHT, _FADING ** (self._runs - one.seen))
            weights.append(weight)
            total += weight
            x += weight * one.inverse
            y += weight * one.median_s
        x, y = x / total, y / total
        spread = together = 0.0
        for weight, one in zip(weights, self._classes.values(), strict=True):
            spread += weight * (one.inverse - x) ** 2
            together += weight * (one.inverse - x) * (one.median_s - y)
        # Neither part of the cost is less than nothing, and one size alone tells no fixed cost.
        self._fixed_s = min(max(0.0, together / spread), y / x) if spread > 1e-12 else 0.0
        self._per_item_s = max(0.0, y - self._fixed_s * x)
