from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from splitfer.shared.codec.entropy import EntropyTables, decode_symbols, encode_symbols
from splitfer.shared.contracts import LATENT_SHAPE
from training.export.entropy import fit_tables


def smooth_latents(count: int, seed: int, spread: float) -> NDArray[np.uint8]:
    """Latents whose neighbours resemble each other, as a head's do; two channels are empty."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(count, *LATENT_SHAPE))
    for axis in (2, 3, 2, 3):
        waves += np.roll(waves, 1, axis) + np.roll(waves, -1, axis)
    waves[:, 1:] += 0.5 * waves[:, :-1]
    scale = spread * np.array([2.0, 1.5, 1.0, 1.0, 0.7, 0.7, 0.0, 0.0])[:, None, None]
    values = np.rint(waves / waves.std() * scale).clip(-15, 15)
    return (values + 128).astype(np.uint8)


def mean_bytes(latents: NDArray[np.uint8], rate: int, tables: EntropyTables) -> float:
    bodies = [encode_symbols(latent, rate, tables) for latent in latents]
    for body, latent in zip(bodies, latents, strict=True):
        np.testing.assert_array_equal(decode_symbols(body, rate, tables), latent)
    return float(np.mean([len(body) for body in bodies]))


def static_bytes(latents: NDArray[np.uint8]) -> float:
    """What the best static code per channel would take, its tables for nothing."""
    bits = 0.0
    for channel in range(8):
        counts = np.bincount(latents[:, channel].reshape(-1))
        counts = counts[counts > 0]
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8 / len(latents)


def test_unseen_latents_take_far_fewer_bytes_than_without_neighbours() -> None:
    seen = [smooth_latents(60, 1, spread) for spread in (2.0, 1.0)]
    tables = fit_tables(seen, 15)
    for rate, spread in enumerate((2.0, 1.0)):
        unseen = smooth_latents(20, 2, spread)
        assert mean_bytes(unseen, rate, tables) < 0.8 * static_bytes(unseen)


def test_each_rate_has_tables_of_its_own() -> None:
    coarse, fine = smooth_latents(40, 1, 0.7), smooth_latents(40, 1, 3.0)
    tables = fit_tables([fine, coarse], 15)
    assert mean_bytes(fine, 0, tables) < mean_bytes(fine, 1, tables)
    assert mean_bytes(coarse, 1, tables) < mean_bytes(coarse, 0, tables)


def test_a_fit_is_deterministic() -> None:
    latents = smooth_latents(20, 3, 1.0)
    assert fit_tables([latents], 15).to_bytes() == fit_tables([latents], 15).to_bytes()


def test_any_latents_can_be_coded_with_tables_of_latents_that_are_all_empty() -> None:
    tables = fit_tables([np.full((3, *LATENT_SHAPE), 128, np.uint8)], 2)
    rng = np.random.default_rng(0)
    values = rng.integers(-2, 3, (2, *LATENT_SHAPE)) * (rng.random(LATENT_SHAPE) < 0.1)
    latents = (128 + values).astype(np.uint8)
    assert mean_bytes(latents, 0, tables) > 0


def test_symbols_outside_the_limit_are_refused() -> None:
    latents = smooth_latents(2, 1, 1.0)
    latents[1, 0, 0, 0] = 128 + 4
    with pytest.raises(ValueError, match="outside"):
        fit_tables([latents], 3)
