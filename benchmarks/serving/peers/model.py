"""What every peer serves: payloads in, probabilities out, by the shipped tail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.codec.latent import Latent
from splitfer.shared.weights import Weights, default_folder

# As many as this server itself puts into one batch, or more.
BATCH_MAX = 16


class PeerModel:
    """Decoder and default tail of a folder of weights, on one thread."""

    def __init__(self, folder: Path | None = None) -> None:
        weights = Weights(folder or default_folder())
        name = weights.manifest.default_tail
        rates = range(len(weights.manifest.rates))
        self._codec = weights.payload_codec
        self._tail = weights.tail(name, 1)
        self._steps = np.stack([weights.quantiser.steps(rate) for rate in rates])
        self._temperatures = np.array(
            [weights.temperature(name, rate) for rate in rates], np.float32
        )

    def decode(self, payload: bytes) -> Latent:
        """One payload."""
        return self._codec.decode(payload)

    def run(self, latents: list[Latent]) -> NDArray[np.float32]:
        """A batch: float32 ``(N, 7)``."""
        symbols = np.stack([latent.symbols for latent in latents])
        each = [latent.rate for latent in latents]
        return self._tail.run(symbols, self._steps[each], self._temperatures[each])
