"""Fit the tables of the entropy codec to the latents of a head.

Per rate and channel: four weighted sums over the neighbours that a decoder knows already, their
bins, and logits by bin for each kind of decision (docs/payload.md). Weights come from regressions,
logits from Newton steps, one table after another. All of it is deterministic.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from shared.codec.entropy import EntropyTables
from shared.contracts import LATENT_SHAPE

CHANNELS, SIDE, _ = LATENT_SHAPE
ZERO_SYMBOL = 128
OWN = [(0, -1), (0, -2), *((-1, x) for x in range(-2, 3)), *((-2, x) for x in range(-2, 3))]
LOWER = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
NEAR_WEIGHTS = {(0, -1): 27, (-1, 0): 9, (-1, -1): 3, (-1, 1): 1}

ACTIVITY_BINS, PREDICTION_BINS, NEAR_BINS, LOWER_BINS = 24, 17, 81, 16
MORE_STEPS = 6
UNIT = 128.0  # a logit of 1 nat
MOST_LATENTS = 1500
SWEEPS = 12

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def fit_tables(symbols_by_rate: list[NDArray[np.uint8]], limit: int) -> EntropyTables:
    """Tables for the symbols ``(N, 8, 28, 28)`` of each rate, in the order of the rates.

    Raises:
        ValueError: a symbol lies outside the limit.
    """
    parts = [b"SFE\x01", bytes((limit, len(symbols_by_rate)))]
    for symbols in symbols_by_rate:
        chosen = symbols
        if len(symbols) > MOST_LATENTS:
            rng = np.random.default_rng(0)
            chosen = symbols[np.sort(rng.permutation(len(symbols))[:MOST_LATENTS])]
        values = chosen.astype(np.int16) - ZERO_SYMBOL
        if values.size and np.abs(values).max() > limit:
            raise ValueError("a symbol lies outside the limit")
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
    used = values[:, channel].any(axis=(1, 2))
    logit = _logit(np.array([used.sum()]), np.array([len(used)]))
    parts = [_int16(logit)]
    values = values[used]
    here = values[:, channel].reshape(-1).astype(np.int64)
    near = _neighbours(values, channel)
    size = np.abs(here)

    own = np.zeros(near.shape[1], bool)
    own[: len(OWN)] = True
    pattern = np.array([NEAR_WEIGHTS.get(at, 0) for at in OWN] + [0] * (near.shape[1] - len(OWN)))
    lower = ~own if channel else own
    weights = [
        _whole(_regress(np.minimum(np.abs(near), 4), (size > 0).astype(float)), limit),
        _whole(_regress(near, here.astype(float)), limit),
        pattern,
        _whole(_regress(np.abs(near) * lower, (size > 0).astype(float)), limit),
    ]
    kinds = [np.abs(near), near, np.minimum(np.abs(near), 2), np.abs(near)]
    bins = []
    for kind, weight, count in zip(
        kinds, weights, (ACTIVITY_BINS, PREDICTION_BINS, NEAR_BINS, LOWER_BINS), strict=True
    ):
        total = kind.astype(np.int32) @ weight.astype(np.int32)
        if count == NEAR_BINS:
            shift, thresholds = 0, np.arange(1, NEAR_BINS)
        else:
            shift, thresholds = _thresholds(total, size, count, symmetric=count == PREDICTION_BINS)
        scaled = np.clip(total >> shift, -128, 127)
        bins.append(np.searchsorted(thresholds, scaled, side="right"))
        parts.append(struct.pack("B", shift) + thresholds.astype(np.int8).tobytes())
        parts.append(weight.astype(np.int8).tobytes())
    a, b, p, c = bins
    zero = _additive(
        size > 0,
        [
            (a * PREDICTION_BINS + b, ACTIVITY_BINS * PREDICTION_BINS),
            (p, NEAR_BINS),
            (c, LOWER_BINS),
        ],
    )
    there = size > 0
    sign = _additive(here[there] < 0, [(b[there], PREDICTION_BINS)])
    forward = np.where(here < 0, PREDICTION_BINS - 1 - b, b)
    more_a, more_b = [], []
    for step in range(1, MORE_STEPS + 1):
        asked = (size >= step) & (size < limit) & ((size == step) | (step < MORE_STEPS) | True)
        more = _additive(
            size[asked] > step,
            [(a[asked], ACTIVITY_BINS), (forward[asked], PREDICTION_BINS)],
        )
        more_a.append(more[0])
        more_b.append(more[1])
    parts += [_int16(table) for table in (*zero, *sign, *more_a, *more_b)]
    return b"".join(parts)


def _regress(inputs: NDArray[np.int16], wanted: Floats) -> Floats:
    """Weights of a ridge regression."""
    x = inputs.astype(np.float32)
    gram = (x.T @ x).astype(np.float64)
    ridge = 1e-3 * np.trace(gram) / len(gram) + 1e-6
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), (x.T @ wanted).astype(np.float64))


def _whole(weights: Floats, limit: int) -> Ints:
    """The weights as whole numbers of at most 64, such that no sum leaves 16 bits."""
    most = np.abs(weights).max()
    if most < 1e-9:
        return np.zeros(len(weights), dtype=np.int64)
    whole = np.rint(weights * 64 / most)
    while np.abs(whole).sum() * limit > 32767:
        whole = np.trunc(whole * 0.9)
    return whole.astype(np.int64)


def _thresholds(total: Ints, size: Ints, count: int, symmetric: bool) -> tuple[int, Ints]:
    """Shift and thresholds that part the sums into bins of like information."""
    far = np.abs(total)
    top = np.quantile(far, 0.9995) if len(far) else 1
    shift = 0
    while top / 2**shift > 127:
        shift += 1
    scaled = np.clip(total >> shift, -128, 127)
    # A symbol counts by how much there is to say of it.
    weight = 0.02 + (size > 0)
    if symmetric:
        half = (count - 1) // 2
        edges = _quantiles(np.abs(scaled), weight, half)
        return shift, np.sort(np.concatenate((1 - edges, edges)))
    return shift, _quantiles(scaled, weight, count - 1)


def _quantiles(scaled: Ints, weight: Floats, count: int) -> Ints:
    mass = np.bincount(np.maximum(scaled, 0), weight, minlength=128)[:128].cumsum()
    if mass[-1] == 0:
        return np.full(count, 127)
    wanted = mass[-1] * (np.arange(1, count + 1) / (count + 1))
    edges = np.searchsorted(mass, wanted, side="left") + 1
    for i in range(1, count):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    return np.clip(edges, 1, 127)


def _additive(hit: NDArray[np.bool_], terms: list[tuple[Ints, int]]) -> list[Floats]:
    """Logits by bin whose sum gives each event's chance: Newton steps, table after table."""
    tables = [np.zeros(count) for _, count in terms]
    if len(hit) == 0:
        return tables
    y = hit.astype(np.float64)
    total = np.zeros(len(y))
    for _ in range(SWEEPS):
        for table, (bins, count) in zip(tables, terms, strict=True):
            chance = 1 / (1 + np.exp(-total))
            slope = np.bincount(bins, y - chance, minlength=count) - table * 0.2
            bend = np.bincount(bins, chance * (1 - chance), minlength=count) + 0.2
            step = np.clip(slope / bend, -1.5, 1.5)
            table += step
            total += step[bins]
    return tables


def _logit(hits: Ints, of: Ints) -> Floats:
    chance = (hits + 0.5) / (of + 1.0)
    logit: Floats = np.log(chance / (1 - chance))
    return logit


def _int16(logits: Floats) -> bytes:
    return np.clip(np.rint(logits * UNIT), -2047, 2047).astype("<i2").tobytes()
