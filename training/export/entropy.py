"""Fit the tables of the entropy codec to the latents of a head.

Per rate and channel: weighted sums over the neighbours that a decoder knows already, their
bins, and logits by bin for each kind of decision (docs/api/payload.md). Weights come from
regressions, logits from Newton steps, one table after another. All of it is deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.contracts import LATENT_SHAPE

CHANNELS, SIDE, _ = LATENT_SHAPE
ZERO_SYMBOL = 128
OWN = [(0, -1), (0, -2), *((-1, x) for x in range(-2, 3)), *((-2, x) for x in range(-2, 3))]
LOWER = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
NEAR = [(0, -1), (-1, 0), (-1, -1), (-1, 1)]

ACTIVITY_BINS, PREDICTION_BINS, NEAR_BINS, MORE_STEPS = 16, 25, 81, 6
UNITS_PER_NAT, MOST_LOGIT = 128, 1023
MOST_SUM, MOST_WEIGHT, LEAST_WEIGHT = 511, 64, 3
# From 100 to 400 latents of a rate the bytes of unseen ones fell by 0.7 %; each 400 take 300 MB.
MOST_LATENTS = 1000
SWEEPS = 10
# Pulls a bin that few symbols met towards no opinion.
PRIOR = 0.3
# Larger neighbours say no more about whether a symbol is zero.
CLIP = 4

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def fit_tables(symbols_by_rate: list[NDArray[np.uint8]], limit: int) -> EntropyTables:
    """Tables for the symbols ``(N, 8, 28, 28)`` of each rate, in the order of the rates.

    Raises:
        ValueError: a symbol lies outside the limit.
    """
    parts = [b"SFE\x01", bytes((limit, len(symbols_by_rate)))]
    for symbols in symbols_by_rate:
        order = np.random.default_rng(0).permutation(len(symbols))[:MOST_LATENTS]
        values = symbols[np.sort(order)].astype(np.int16) - ZERO_SYMBOL
        if np.abs(values).max(initial=0) > limit:
            raise ValueError(f"a symbol lies outside 128 - {limit} to 128 + {limit}")
        parts += [_fit_channel(values, channel, limit) for channel in range(CHANNELS)]
    return EntropyTables.from_bytes(b"".join(parts))


def _neighbours(values: NDArray[np.int16], channel: int) -> NDArray[np.int16]:
    """Values of the neighbours of each symbol of a channel: ``(N * 784, taps)``."""
    padded = np.pad(values[:, : channel + 1], ((0, 0), (0, 0), (2, 2), (2, 2)))

    def seen(other: int, y: int, x: int) -> NDArray[np.int16]:
        return padded[:, other, 2 + y : 2 + y + SIDE, 2 + x : 2 + x + SIDE].reshape(-1)

    columns = [seen(channel, y, x) for y, x in OWN]
    columns += [seen(other, y, x) for other in range(channel) for y, x in LOWER]
    return np.stack(columns, axis=1)


def _fit_channel(values: NDArray[np.int16], channel: int, limit: int) -> bytes:
    """One channel's part of the file."""
    used = np.asarray(values[:, channel].any(axis=(1, 2)))
    values = values[used]
    here = values[:, channel].reshape(-1).astype(np.int64)
    size, there = np.abs(here), here != 0
    near = _neighbours(values, channel)
    sizes = np.abs(near)

    weights = _whole(_regress(np.minimum(sizes, CLIP), there), limit)
    feature, activity = _feature(
        sizes, weights, lambda sums: _equal_parts(sums[there], ACTIVITY_BINS - 1)
    )
    parts = [_int16(_logit(int(used.sum()), len(used))), feature]
    weights = _whole(_regress(near, here), limit)

    def both_sides(sums: Ints) -> Ints:
        half = _equal_parts(np.abs(sums[there]), PREDICTION_BINS // 2)
        return np.concatenate((1 - half[::-1], half))

    feature, prediction = _feature(near, weights, both_sides)
    parts.append(feature)
    nearest = np.minimum(sizes[:, [OWN.index(at) for at in NEAR]], 2)
    pattern = nearest.astype(np.int64) @ np.array([27, 9, 3, 1])
    pair = activity * PREDICTION_BINS + prediction
    parts += _additive(there, [(pair, ACTIVITY_BINS * PREDICTION_BINS), (pattern, NEAR_BINS)])
    parts += _additive(here[there] < 0, [(prediction[there], PREDICTION_BINS)])
    ahead = np.where(here < 0, PREDICTION_BINS - 1 - prediction, prediction)
    for step in range(1, MORE_STEPS + 1):
        # The last step's table serves all larger sizes; its first question is by far the commonest.
        asked = size >= step if step < limit else np.zeros_like(there)
        parts += _additive(size[asked] > step, [(ahead[asked], PREDICTION_BINS)])
    return b"".join(parts)


def _regress(inputs: NDArray[np.int16], wanted: NDArray[np.generic]) -> Floats:
    """Weights of a ridge regression."""
    x = inputs.astype(np.float32)
    gram = (x.T @ x).astype(np.float64)
    ridge = 1e-3 * np.trace(gram) / len(gram) + 1e-6
    moments = (x.T @ wanted.astype(np.float32)).astype(np.float64)
    weights: Floats = np.linalg.solve(gram + ridge * np.eye(len(gram)), moments)
    return weights


def _whole(weights: Floats, limit: int) -> Ints:
    """The weights as small whole numbers, such that no sum leaves 16 bits.

    The least are left out, since each costs time.
    """
    most = np.abs(weights).max()
    whole = np.rint(weights * (MOST_WEIGHT / most if most > 0 else 0))
    whole[np.abs(whole) < LEAST_WEIGHT] = 0
    while np.abs(whole).sum() * limit > 32767:
        whole = np.trunc(whole * 0.9)
    return whole.astype(np.int64)


def _feature(
    inputs: NDArray[np.int16], weights: Ints, cut: Callable[[Ints], Ints]
) -> tuple[bytes, Ints]:
    """A feature's part of the file, and each symbol's bin; ``cut`` gives thresholds of sums."""
    total = inputs.astype(np.int32) @ weights.astype(np.int32)
    sums = np.clip(total, -MOST_SUM, MOST_SUM).astype(np.int64)
    thresholds = cut(sums)
    data = thresholds.astype("<i2").tobytes() + weights.astype(np.int8).tobytes()
    return data, np.searchsorted(thresholds, sums, side="right")


def _equal_parts(sums: Ints, count: int) -> Ints:
    """``count`` rising thresholds of at least 1 with as many sums between each two as can be."""
    if len(sums) == 0:
        return np.arange(MOST_SUM - count + 1, MOST_SUM + 1)
    wanted = np.quantile(sums, np.arange(count) / (count + 0.5), method="higher").astype(np.int64)
    edges = np.maximum(wanted, 1)
    for i in range(1, count):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    top = np.arange(MOST_SUM - count + 1, MOST_SUM + 1)
    return np.minimum(edges, top)


def _additive(hit: NDArray[np.bool_], terms: list[tuple[Ints, int]]) -> list[bytes]:
    """Tables of logits by bin whose sum gives each event's chance: Newton, table after table."""
    tables = [np.zeros(count) for _, count in terms]
    total = np.zeros(len(hit))
    for _ in range(SWEEPS):
        for table, (bins, count) in zip(tables, terms, strict=True):
            chance = 1 / (1 + np.exp(-total))
            slope = np.bincount(bins, hit - chance, minlength=count) - PRIOR * table
            bend = np.bincount(bins, chance * (1 - chance), minlength=count) + PRIOR
            change = np.clip(slope / bend, -1.5, 1.5)
            table += change
            total += change[bins]
    return [_int16(table) for table in tables]


def _logit(hits: int, of: int) -> Floats:
    return np.array([math.log((hits + 0.5) / (of - hits + 0.5))])


def _int16(logits: Floats) -> bytes:
    return np.clip(np.rint(logits * UNITS_PER_NAT), -MOST_LOGIT, MOST_LOGIT).astype("<i2").tobytes()
