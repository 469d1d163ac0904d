"""What the link costs now, from the replies that came: a line through recent (bytes, ms).

    link_ms = rtt_ms + ms_per_byte * bytes        link_ms = round trip - the server's own time

A sample's weight halves with every few newer frames and every few seconds. Outliers weigh as
their distance allows (Huber), so one hiccup does not move the line and a real step does within a
handful of replies. Payloads of one size cannot tell latency from rate; then half of the time is
taken for each, and ``ms_per_byte_sd`` says how little is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

WINDOW = 32
HALF_LIFE_FRAMES = 6.0
HALF_LIFE_S = 5.0
# Residuals this many times their typical size begin to count less.
_HUBER = 1.5
_ROUNDS = 3
# Of a bell curve 95 % lie below 2.06 mean deviations above the mean; real links have more tail.
P95_DEVIATIONS = 2.5
# How far a line that rests on one reply alone may be off.
_ONE_REPLY_SHARE = 0.3


@dataclass(frozen=True)
class Sample:
    """One call that was sent: in which frame, when, how many bytes, and how long it took.

    ``link_ms`` is None where the call broke without telling anything about time; ``missed`` where
    no answer came, so that ``link_ms`` is only how long was waited in vain.
    """

    frame: int
    at_s: float
    sent_bytes: int
    link_ms: float | None
    missed: bool = False


@dataclass(frozen=True)
class LinkFit:
    """The line, how far replies lie from it, and the share of calls that got no answer (0..1)."""

    rtt_ms: float
    ms_per_byte: float
    ms_per_byte_sd: float = 0.0
    deviation_ms: float = 0.0
    mean_bytes: float = 0.0
    missed: float = 0.0

    def typical_ms(self, sent_bytes: float) -> float:
        """What the link takes for so many bytes."""
        return self.rtt_ms + self.ms_per_byte * sent_bytes

    def margin_ms(self, sent_bytes: float) -> float:
        """What 19 of 20 replies stay within beyond ``typical_ms``; wide for sizes never sent."""
        return math.hypot(P95_DEVIATIONS * self.deviation_ms, 2 * self._unsure_ms(sent_bytes))

    def hopeful_ms(self, sent_bytes: float) -> float:
        """What it may take if what is not known turns out well."""
        return max(0.0, self.typical_ms(sent_bytes) - self._unsure_ms(sent_bytes))

    def _unsure_ms(self, sent_bytes: float) -> float:
        return self.ms_per_byte_sd * abs(sent_bytes - self.mean_bytes)


def fit(samples: Sequence[Sample]) -> LinkFit | None:
    """The line through ``samples``, oldest first; None where none tells a time."""
    timed = [one for one in samples if one.link_ms is not None]
    if not timed:
        return None
    every = _weights(samples, samples[-1])
    missed = float(every @ np.array([one.missed for one in samples]) / every.sum())
    weights = _weights(timed, timed[-1])
    sent_bytes = np.array([one.sent_bytes for one in timed], float)
    link_ms = np.array([one.link_ms for one in timed], float)
    line = _robust_line(weights, sent_bytes, link_ms)
    # How many replies of equal weight would say as much.
    replies = weights.sum() ** 2 / (weights @ weights)
    return LinkFit(
        rtt_ms=max(0.0, line.mean_ms - line.slope * line.mean_bytes),
        ms_per_byte=line.slope,
        ms_per_byte_sd=line.slope_sd,
        deviation_ms=line.deviation_ms
        + _ONE_REPLY_SHARE * line.mean_ms / float(replies) / P95_DEVIATIONS,
        mean_bytes=line.mean_bytes,
        missed=missed,
    )


@dataclass(frozen=True)
class _Line:
    """A line through its point of balance."""

    mean_bytes: float
    mean_ms: float
    slope: float
    slope_sd: float = 0.0
    deviation_ms: float = 0.0


def _weights(samples: Sequence[Sample], newest: Sample) -> Numbers:
    frames = np.array([newest.frame - one.frame for one in samples], float)
    seconds = np.array([newest.at_s - one.at_s for one in samples])
    weights: Numbers = np.exp2(-(frames / HALF_LIFE_FRAMES + seconds / HALF_LIFE_S))
    return weights


def _robust_line(w: Numbers, x: Numbers, y: Numbers) -> _Line:
    """Starts at the weighted medians: half of the weight must move before they do."""
    middle_x, middle_y = _median(x, w), _median(y, w)
    line = _Line(middle_x, middle_y, 0.5 * middle_y / max(1.0, middle_x))
    for _ in range(_ROUNDS):
        off = np.abs(y - line.mean_ms - line.slope * (x - line.mean_bytes))
        # No link is quieter than this, and a scale of 0 would make every reply an outlier.
        least_ms = max(0.2, 0.02 * line.mean_ms)
        scale = max(1.48 * _median(off, w), least_ms)
        trusted = w * np.minimum(1.0, _HUBER * scale / np.maximum(off, 1e-9))
        deviation_ms = float(w @ np.minimum(off, 3 * scale) / w.sum())
        line = _weighted_line(trusted, x, y, max(deviation_ms, least_ms))
    return line


def _weighted_line(w: Numbers, x: Numbers, y: Numbers, deviation_ms: float) -> _Line:
    """Least squares with a prior: half of the mean time is latency, give or take all of it."""
    total = float(w.sum())
    mean_x, mean_y = float(w @ x) / total, float(w @ y) / total
    steepest = mean_y / max(1.0, mean_x)
    prior = max(0.5 * steepest, 1e-9)
    ridge = (deviation_ms / prior) ** 2
    precision = float(w @ (x - mean_x) ** 2) + ridge
    slope = (float(w @ ((x - mean_x) * (y - mean_y))) + ridge * prior) / precision
    # Neither latency nor rate can be negative.
    slope = min(max(0.0, slope), steepest)
    return _Line(mean_x, mean_y, slope, deviation_ms / math.sqrt(precision), deviation_ms)


def _median(values: Numbers, weights: Numbers) -> float:
    """The value up to which half of the weight lies."""
    order = np.argsort(values)
    summed = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(summed, summed[-1] / 2)]])
