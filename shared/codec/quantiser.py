"""From what the head gives to whole numbers, as fine as a rate wants them.

    z --(x gain of rate and channel)--> rint --> clip to +-limit --(+128)--> symbols
    symbols --(-128)--(x step = 1 / gain)--> y_hat                           in the cloud tail

One head serves every rate: a smaller gain is a coarser step, more zeros, fewer bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ZERO_SYMBOL = 128


@dataclass(frozen=True, eq=False)
class Quantiser:
    """``gains`` float32 ``(R, 8)`` by rate and channel; symbols lie within ``limit`` of 128."""

    gains: NDArray[np.float32]
    limit: int

    def symbols(self, z: NDArray[np.float32], rate: int) -> NDArray[np.uint8]:
        """float32 ``(N, 8, 28, 28)`` -> uint8 of the same shape. Halves round to even."""
        whole = np.rint(z * self.gains[rate][:, None, None])
        most = min(self.limit, 255 - ZERO_SYMBOL)
        return np.asarray(np.clip(whole, -self.limit, most) + ZERO_SYMBOL, np.uint8)

    def steps(self, rate: int) -> NDArray[np.float32]:
        """float32 ``(8,)``: what one symbol is worth, by channel."""
        return np.asarray(np.float32(1) / self.gains[rate])
