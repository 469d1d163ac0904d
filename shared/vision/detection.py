"""Faces in a frame: what a detector is, and how one is opened by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.detectors import DetectorName

# Beyond it an enlarged search finds folds of cloth sooner than faces that were missed.
ENLARGED_SIDE_PX = 480
_MOST_ENLARGED = 2


class FaceDetector(Protocol):
    """Finds faces. One instance belongs to one thread.

    Whichever it is, a box has one geometry, dlib's: the weights' ``Cropping`` suits them all.
    """

    near_px: int
    """Longer side of a search about one face, in a window of 1.7 sides of its box."""

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first. ``side_px`` is
        the longer side in the search, where it is not the detector's own."""
        ...


@dataclass(frozen=True)
class SearchLimits:
    """How fine a search is and what it gives.

    It runs on a frame whose longer side is at most ``search_side_px``; with ``enlarged`` a frame of
    less than ``ENLARGED_SIDE_PX`` is searched up to twice as large. Of the boxes that are not
    smaller than ``smallest_face_px``, the ``most_faces`` largest are given. Time grows with the
    searched area.
    """

    search_side_px: int
    smallest_face_px: int
    most_faces: int
    enlarged: bool = False

    def searched_px(self, side_px: int) -> int:
        """The longer side in the search of a frame's ``side_px``."""
        if self.enlarged:
            side_px = max(side_px, min(_MOST_ENLARGED * side_px, ENLARGED_SIDE_PX))
        return min(side_px, self.search_side_px)

    def kept(self, boxes: list[Box]) -> list[Box]:
        """Those that are given, the largest first."""
        large = [box for box in boxes if min(box.w, box.h) >= self.smallest_face_px]
        return sorted(large, key=lambda box: -box.w * box.h)[: self.most_faces]


def resized(grey: NDArray[np.uint8], side_px: int) -> tuple[NDArray[np.uint8], float]:
    """A grey picture uint8 ``(H, W)`` whose longer side is ``side_px``, in one piece of memory, and
    how much larger ``grey`` is."""
    height, width = grey.shape
    ratio = max(height, width) / side_px
    if ratio != 1:
        size = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        grey = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(grey), ratio


def open_detector(name: DetectorName, limits: SearchLimits) -> FaceDetector:
    """The detector of this name. Only its own code is loaded."""
    if name is DetectorName.DLIB:
        from splitfer.shared.vision.dlib_detector import DlibDetector

        return DlibDetector(limits)
    from splitfer.shared.vision.yunet import YunetDetector

    return YunetDetector(limits)
