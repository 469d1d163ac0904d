"""How well a share is known."""

from __future__ import annotations

import math


def wilson(right: int, n: int) -> list[float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.959964, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]
