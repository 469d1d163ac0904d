"""Write ``entropy_golden.npz``: tables fitted to smooth noise, latents of many kinds, their bodies.

Only a change of the format may change it:
``python -m tests.unit.shared.codec.write_entropy_golden``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.codec.entropy import encode_symbols
from splitfer.shared.contracts import LATENT_SHAPE
from tests.unit.training.export.test_entropy import smooth_latents
from training.export.entropy import fit_tables

LIMIT = 15


def latents() -> list[tuple[int, NDArray[np.uint8]]]:
    """Rate and symbols of each case."""
    rng = np.random.default_rng(5)
    cases = [(rate, latent) for rate in (0, 1) for latent in smooth_latents(3, 9, 1.0 + rate)]
    cases += [(0, np.full(LATENT_SHAPE, 128 + value, np.uint8)) for value in (0, 1, -1)]
    sparse = np.full(LATENT_SHAPE, 128)
    sparse[2:4] += rng.integers(-LIMIT, LIMIT + 1, sparse[2:4].shape)
    noise = 128 + rng.integers(-1, 2, LATENT_SHAPE)
    return [*cases, (1, sparse.astype(np.uint8)), (0, noise.astype(np.uint8))]


def main() -> None:
    """Write the file."""
    tables = fit_tables([smooth_latents(40, 1, 1.0), smooth_latents(40, 1, 2.0)], LIMIT)
    cases = latents()
    bodies = [encode_symbols(symbols, rate, tables) for rate, symbols in cases]
    np.savez_compressed(
        Path(__file__).with_name("entropy_golden.npz"),
        tables=np.frombuffer(tables.to_bytes(), np.uint8),
        rates=np.array([rate for rate, _ in cases]),
        symbols=np.stack([symbols for _, symbols in cases]),
        bodies=np.frombuffer(b"".join(bodies), np.uint8),
        ends=np.cumsum([0, *map(len, bodies)]),
    )


if __name__ == "__main__":
    main()
