from __future__ import annotations

import numpy as np
import pytest

from splitfer.shared.codec.quantiser import Quantiser

GAINS = np.stack([np.linspace(0.5, 2, 8), np.full(8, 0.25)]).astype(np.float32)


def latent(seed: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, spread, (3, 8, 28, 28)).astype(np.float32)


@pytest.mark.parametrize("rate", [0, 1])
def test_what_comes_back_is_half_a_step_off_at_most(rate: int) -> None:
    quantiser, z = Quantiser(GAINS, 127), latent(rate, 5)
    symbols = quantiser.symbols(z, rate)
    assert (symbols.dtype, symbols.shape) == (np.uint8, z.shape)
    steps = quantiser.steps(rate)[None, :, None, None]
    back = (symbols.astype(np.float32) - 128) * steps
    assert (np.abs(back - z) <= 0.5001 * steps).all()


def test_a_coarser_rate_has_more_zeros() -> None:
    quantiser, z = Quantiser(GAINS, 15), latent(2, 2)
    zeros = [np.count_nonzero(quantiser.symbols(z, rate) == 128) for rate in (0, 1)]
    assert zeros[0] < zeros[1]


@pytest.mark.parametrize(("limit", "low", "high"), [(15, 113, 143), (1, 127, 129), (128, 0, 255)])
def test_the_limit_holds(limit: int, low: int, high: int) -> None:
    symbols = Quantiser(GAINS, limit).symbols(latent(3, 1e4), 0)
    assert (symbols.min(), symbols.max()) == (low, high)


def test_halves_round_to_even_as_torch_does() -> None:
    z = np.broadcast_to(np.float32([0.5, 1.5, -0.5, -2.5, 2.5, 0.49, -1.51, 0])[:, None, None],
                        (1, 8, 28, 28))  # fmt: skip
    symbols = Quantiser(np.ones((1, 8), np.float32), 15).symbols(z, 0)
    assert symbols[0, :, 0, 0].tolist() == [128, 130, 128, 126, 130, 128, 126, 128]


def test_whole_numbers_of_gain_one_come_back_as_they_were() -> None:
    everything = np.resize(np.arange(256, dtype=np.uint8), (1, 8, 28, 28))
    z = everything.astype(np.float32) - 128
    np.testing.assert_array_equal(
        Quantiser(np.ones((1, 8), np.float32), 128).symbols(z, 0), everything
    )
