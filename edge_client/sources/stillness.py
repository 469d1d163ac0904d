"""Whether a camera's picture still changes: one that froze goes on sending the same."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

# Of a picture these rows are looked at first: two that differ do so nearly everywhere.
_SOME_ROWS = 16


class Seen(Enum):
    """What a picture is beside those before it."""

    MOVING = "moving"
    FROZE = "froze"
    """It has been the same for so long that the camera counts as lost."""
    STILL_FROZEN = "still frozen"
    """The same as the one of which that was said."""


class Stillness:
    """Judges a camera's pictures one by one. A picture that is the same to the bit for ``after_s``
    is frozen, and is said to be so again after as long; 0 never says it."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._last: NDArray[np.uint8] | None = None
        self._since_s = 0.0
        self._frozen = False

    def judge(self, rgb: NDArray[np.uint8], now_s: float) -> Seen:
        """The next picture uint8 ``(H, W, 3)``, at a monotonic instant."""
        if not self._after_s:
            return Seen.MOVING
        if self._last is None or not _same(rgb, self._last):
            self._last, self._since_s, self._frozen = rgb, now_s, False
            return Seen.MOVING
        if now_s - self._since_s >= self._after_s:
            self._since_s, self._frozen = now_s, True
            return Seen.FROZE
        return Seen.STILL_FROZEN if self._frozen else Seen.MOVING


def _same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return (
        one.shape == other.shape
        and np.array_equal(one[::_SOME_ROWS], other[::_SOME_ROWS])
        and np.array_equal(one, other)
    )
