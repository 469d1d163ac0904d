"""Random draws of a run that depend on its seed and the place in it alone, so that a run that was
killed goes on as if it had not been."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Of the run with this ``seed``. A place is numbers and words: stage, epoch, step, purpose."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, *place: int | str) -> torch.Generator:
        """The generator of a place."""
        words = [self._seed, *(p if isinstance(p, int) else 10**6 for p in place)]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator().manual_seed(seed)

    def order(self, n: int, *place: int | str) -> Tensor:
        """The numbers below ``n`` in the order of a place."""
        return torch.randperm(n, generator=self.at(*place, 10**6 + 1))
