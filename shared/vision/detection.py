"""Faces in a frame, by dlib's frontal face detector (HOG and a linear classifier)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.processor import check_processor

check_processor()
import dlib  # noqa: E402  # which kills the process where the processor is too old

# Beyond it an enlarged search finds folds of cloth sooner than faces that were missed.
ENLARGED_SIDE_PX = 480
# The smallest face that counts has half of the window's side.
_MOST_ENLARGED = 2


class FaceDetector:
    """Finds upright frontal faces. One instance belongs to one thread.

    The search runs on a grey frame whose longer side is at most ``search_side_px``; dlib's window
    is 80 px, so smaller faces there are not found. With ``enlarged`` a frame of less than
    ``ENLARGED_SIDE_PX`` is searched up to twice as large. Time grows with the searched area.
    """

    def __init__(
        self, search_side_px: int, smallest_face_px: int, most_faces: int, enlarged: bool = False
    ) -> None:
        self._find = dlib.get_frontal_face_detector()
        self._search_side_px = search_side_px
        self._smallest_face_px = smallest_face_px
        self._most_faces = most_faces
        self._enlarged = enlarged

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first. ``side_px`` is
        the longer side in the search, where it is not the detector's own."""
        height, width = grey.shape
        ratio = max(height, width) / (side_px or self._searched_px(max(height, width)))
        if ratio != 1:
            size = (max(1, round(width / ratio)), max(1, round(height / ratio)))
            grey = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
        boxes = [
            Box(round(r.left() * ratio), round(r.top() * ratio),
                round(r.width() * ratio), round(r.height() * ratio))
            for r in self._find(np.ascontiguousarray(grey), 0)
        ]  # fmt: skip
        large = [box for box in boxes if min(box.w, box.h) >= self._smallest_face_px]
        return sorted(large, key=lambda box: -box.w * box.h)[: self._most_faces]

    def _searched_px(self, side_px: int) -> int:
        """The longer side in the search of a frame's ``side_px``."""
        if self._enlarged:
            side_px = max(side_px, min(_MOST_ENLARGED * side_px, ENLARGED_SIDE_PX))
        return min(side_px, self._search_side_px)
