"""Ten views of a picture of 48 px: five places and their mirror images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFT_PX = 2
_EDGES = (0, 2 * SHIFT_PX)
PLACES = ((SHIFT_PX, SHIFT_PX), *((top, left) for top in _EDGES for left in _EDGES))


def ten_windows(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Pictures ``(N, H, H)`` as ten views of that shape: as they are, moved by 2 px towards each
    corner, and all five mirrored. The first is the single view."""
    side = pictures.shape[-1]
    wide = np.pad(pictures, ((0, 0), (SHIFT_PX, SHIFT_PX), (SHIFT_PX, SHIFT_PX)), mode="edge")
    moved = [wide[:, top : top + side, left : left + side] for top, left in PLACES]
    return [np.ascontiguousarray(one) for view in moved for one in (view, view[:, :, ::-1])]
