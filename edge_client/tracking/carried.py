"""Fewer pixels to search: a face is looked for about where it was, and everywhere now and then."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import Box
from splitfer.shared.vision.detection import FaceDetector

# The window about a face, in its sides.
_WINDOW = 1.7
_EMPTY_EVERY = 2


class CarriedDetector:
    """Searches whole frames by ``detector`` in every ``every``-th frame, or sooner where a face is
    not found again; in between only about the faces of the frame before. Belongs to one source.

    Where nobody is, every second frame is searched, so that nobody waits to be found.
    """

    def __init__(self, detector: FaceDetector, every: int) -> None:
        self._detector, self._every = detector, every
        self._since = 0
        self._shape: tuple[int, ...] = ()
        self._boxes: list[Box] = []

    def detect(self, grey: NDArray[np.uint8]) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first."""
        self._since += 1
        boxes = None
        if grey.shape == self._shape and self._since < self._every:
            if self._boxes:
                boxes = self._found_again(grey)
            elif self._since < _EMPTY_EVERY:
                boxes = []
        if boxes is None:
            boxes = self._detector.detect(grey)
            self._since, self._shape = 0, grey.shape
        self._boxes = boxes
        return boxes

    def _found_again(self, grey: NDArray[np.uint8]) -> list[Box] | None:
        """The faces of the frame before; None where one is missing, or two have become one."""
        height, width = grey.shape
        found: list[Box] = []
        for box in self._boxes:
            side = round(_WINDOW * max(box.w, box.h))
            left = max(0, min(width - side, box.x + (box.w - side) // 2))
            top = max(0, min(height - side, box.y + (box.h - side) // 2))
            window = grey[top : top + side, left : left + side]
            near = self._detector.detect(window, min(self._detector.near_px, max(window.shape)))
            if not near:
                return None
            there = [Box(one.x + left, one.y + top, one.w, one.h) for one in near]
            found.append(min(there, key=lambda one: _apart(one, box)))
        for one, other in itertools.combinations(found, 2):
            if _apart(one, other) < max(one.w, other.w) / 2:
                return None
        return sorted(found, key=lambda box: -box.w * box.h)


def _apart(one: Box, other: Box) -> float:
    return abs(one.x + one.w / 2 - other.x - other.w / 2) + abs(
        one.y + one.h / 2 - other.y - other.h / 2
    )
