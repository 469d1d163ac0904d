"""The entropy code, written out slowly from docs/api/payload.md with Python integers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIDE, CHANNELS = 28, 8
SHAPE = (CHANNELS, SIDE, SIDE)
OWN = [(0, -1), (0, -2)]
OWN += [(down, right) for down in (-1, -2) for right in (-2, -1, 0, 1, 2)]
LOWER = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
KNOTS = [
    32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287, 60565,
    61598, 62428, 63090, 63615, 64030, 64357, 64614, 64816, 64974, 65097, 65194,
    65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508, 65514,
]  # fmt: skip

Neighbour = tuple[int, int, int]  # channels down, rows down, columns right


@dataclass
class Channel:
    used: int
    thresholds: list[list[int]]
    weights: list[dict[Neighbour, int]]
    nonzero: list[list[int]]
    near: list[int]
    negative: list[int]
    more: list[list[int]]


def read(data: bytes) -> tuple[int, list[list[Channel]]]:
    """The limit, and the channels of each rate."""
    assert data[:4] == b"SFE\x01"
    at = 6

    def take(count: int, form: str = "h") -> list[int]:
        nonlocal at
        values = struct.unpack_from(f"<{count}{form}", data, at)
        at += struct.calcsize(f"<{count}{form}")
        return list(values)

    def channel(index: int) -> Channel:
        (used,) = take(1)
        thresholds, weights = [], []
        places = [(0, *place) for place in OWN]
        places += [(other - index, *place) for other in range(index) for place in LOWER]
        for bins in (16, 25):
            thresholds.append(take(bins - 1))
            pairs = zip(places, take(len(places), "b"), strict=True)
            weights.append({place: weight for place, weight in pairs if weight})
        nonzero = [take(25) for _ in range(16)]
        return Channel(
            used, thresholds, weights, nonzero, take(81), take(25), [take(25) for _ in range(6)]
        )

    rates = [[channel(index) for index in range(CHANNELS)] for _ in range(data[5])]
    assert at == len(data)
    return data[4], rates


def chance(logit: int) -> int:
    """Of a one, in 1/65536."""
    far = min(abs(logit), 1024)
    k, part = divmod(far, 32)
    one = (KNOTS[k] * (32 - part) + KNOTS[min(k + 1, 32)] * part + 16) >> 5
    return one if logit >= 0 else 65536 - one


Decide = Callable[[int, int], int]  # (logit, wanted bit) -> bit


def walk(limit: int, channels: list[Channel], symbols: list[int], decide: Decide) -> None:
    """Every decision of a latent in order; ``symbols`` are read, and written by what is decided."""

    def value(channel: int, y: int, x: int) -> int:
        inside = 0 <= y < SIDE and 0 <= x < SIDE
        return symbols[(channel * SIDE + y) * SIDE + x] - 128 if inside else 0

    for index, model in enumerate(channels):
        first = index * SIDE * SIDE
        some = any(symbol != 128 for symbol in symbols[first : first + SIDE * SIDE])
        if not decide(model.used, some):
            continue
        for y in range(SIDE):
            for x in range(SIDE):
                sums = [0, 0]
                for which, weights in enumerate(model.weights):
                    for (channel, down, right), weight in weights.items():
                        seen = value(index + channel, y + down, x + right)
                        sums[which] += weight * (seen if which else abs(seen))
                bins = [
                    sum(t <= max(-511, min(511, total)) for t in thresholds)
                    for total, thresholds in zip(sums, model.thresholds, strict=True)
                ]
                places = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
                near = 0
                for down, right in places:
                    near = 3 * near + min(abs(value(index, y + down, x + right)), 2)
                wanted = value(index, y, x)
                new = 0
                if decide(model.nonzero[bins[0]][bins[1]] + model.near[near], wanted != 0):
                    sign = -1 if decide(model.negative[bins[1]], wanted < 0) else 1
                    ahead = bins[1] if sign > 0 else 24 - bins[1]
                    size = 1
                    while size < limit and decide(
                        model.more[min(size, 6) - 1][ahead], size < abs(wanted)
                    ):
                        size += 1
                    new = sign * size
                symbols[first + y * SIDE + x] = 128 + new


def encode(data: bytes, rate: int, latent: np.ndarray) -> bytes:
    """The shortest bytes in the last interval, the lowest of those."""
    limit, rates = read(data)
    low, width, bits = 0, 2**64 - 1, 64

    def decide(logit: int, wanted: int) -> int:
        nonlocal low, width, bits
        zeros = (width >> 16) * (65536 - chance(logit))
        low, width = (low + zeros, width - zeros) if wanted else (low, zeros)
        if width < 2**32:
            low, width, bits = low << 32, width << 32, bits + 32
        return wanted

    walk(limit, rates[rate], [int(symbol) for symbol in latent.reshape(-1)], decide)
    length = 0
    while True:
        step = max(bits - 8 * length, 0)
        number = -(-low >> step)
        if number << step < low + width:
            return number.to_bytes(length, "big")
        length += 1


def decode(data: bytes, rate: int, body: bytes) -> np.ndarray | None:
    """The symbols of a body; None where the encoder writes another body for them."""
    limit, rates = read(data)
    bits = max(64, 8 * len(body))
    value = int.from_bytes(body, "big") << bits - 8 * len(body)
    low, width, seen = 0, 2**64 - 1, 64
    # The body goes on with zeros, so the value is compared at whatever precision is reached.

    def decide(logit: int, wanted: int) -> int:
        nonlocal low, width, seen
        zeros = (width >> 16) * (65536 - chance(logit))
        here = value >> bits - seen if seen <= bits else value << seen - bits
        one = here >= low + zeros
        low, width = (low + zeros, width - zeros) if one else (low, zeros)
        if width < 2**32:
            low, width, seen = low << 32, width << 32, seen + 32
        return one

    symbols = [128] * (CHANNELS * SIDE * SIDE)
    if len(body) > len(symbols):
        return None
    walk(limit, rates[rate], symbols, decide)
    latent = np.array(symbols, np.uint8).reshape(SHAPE)
    return latent if encode(data, rate, latent) == body else None


def random_tables(rng: np.random.Generator, limit: int, rates: int, weights: int) -> bytes:
    """Tables of no sense but of the right form, with about ``weights`` weights a sum."""
    parts = [b"SFE\x01", bytes((limit, rates))]

    def logits(count: int) -> bytes:
        scale = rng.choice([0, 60, 400, 5000])
        return rng.normal(-scale / 3, scale, count).clip(-1023, 1023).astype("<i2").tobytes()

    for _ in range(rates):
        for index in range(CHANNELS):
            parts.append(logits(1))
            for bins in (16, 25):
                parts.append(np.sort(rng.integers(-511, 512, bins - 1)).astype("<i2").tobytes())
                taps = len(OWN) + index * len(LOWER)
                chosen = rng.random(taps) < weights / taps
                most = min(127, 32767 // (limit * max(chosen.sum(), 1)))
                values = rng.integers(-most, most + 1, taps) * chosen
                parts.append(values.astype(np.int8).tobytes())
            parts += [logits(16 * 25), logits(81), logits(25), logits(6 * 25)]
    return b"".join(parts)
