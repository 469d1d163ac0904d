"""What every opened video offers, wherever it is decoded."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import Limits

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
MOST_PIXELS = 2 * Limits.picture_pixels
"""Of one picture: that of the largest cameras, twice. A header may say anything."""


@dataclass(frozen=True)
class Picture:
    """``rgb`` uint8 ``(H, W, 3)`` as players show it; ``time_s`` counts from the first picture and
    never falls."""

    rgb: NDArray[np.uint8]
    time_s: float


class Decoder(Protocol):
    """The first picture stream of a file, a camera or an address; good for one reading. ``fps``,
    ``duration_s`` and ``frames_total`` are its own claims, None where it makes none."""

    name: str
    fps: float | None
    duration_s: float | None
    frames_total: int | None

    def again(self) -> Decoder:
        """The same opened anew.

        Raises:
            SourceError: it cannot be opened any more.
        """
        ...

    def pictures(self, stop: threading.Event) -> Generator[Picture]:
        """Decode until the end or until ``stop`` is set, then close. Once per decoder.

        Raises:
            SourceError: reading broke off (a cable, a network, a disk).
        """
        ...

    def close(self) -> None:
        """End the reading. From any thread; a second time does nothing."""
        ...
