"""One picture of a source, as every stage sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """``rgb`` uint8 ``(H, W, 3)``; ``index`` counts the source's frames from 0, dropped ones
    included; ``time_s`` is its place in the source; ``decoded_s`` the monotonic instant at which
    it was decoded, from which its deadline counts, and ``wall_s`` the same by the wall clock, in
    seconds since 1970. ``reduced_by`` is how many times larger the sides of the picture were."""

    source: str
    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    decoded_s: float
    wall_s: float = field(default_factory=time.time)
    reduced_by: float = 1.0
