"""Upright frontal faces, by dlib's detector (HOG and a linear classifier)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import Box
from splitfer.shared.processor import check_processor
from splitfer.shared.vision.detection import SearchLimits, resized

check_processor()
import dlib  # noqa: E402  # which kills the process where the processor is too old

MODEL = Path(__file__).with_name("frontal.svm")
"""dlib's own frontal face detector, unpacked: dlib takes a second of processor time for that."""


class DlibDetector:
    """Finds upright frontal faces of at least 80 px, its window, in the searched picture."""

    near_px = 140  # the face is then somewhat larger than the window

    def __init__(self, limits: SearchLimits) -> None:
        self._find = dlib.fhog_object_detector(str(MODEL))
        self._limits = limits

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first. ``side_px`` is
        the longer side in the search, where it is not the detector's own."""
        side_px = side_px or self._limits.searched_px(max(grey.shape))
        searched, ratio = resized(grey, side_px)
        return self._limits.kept(
            [
                Box(
                    round(r.left() * ratio),
                    round(r.top() * ratio),
                    round(r.width() * ratio),
                    round(r.height() * ratio),
                )
                for r in self._find(searched, 0)
            ]
        )
