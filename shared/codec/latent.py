"""One face's latent, as it travels between the parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Latent:
    """``symbols`` uint8 ``(8, 28, 28)``; ``rate`` is the index into the manifest's ``rates``."""

    symbols: NDArray[np.uint8]
    rate: int
