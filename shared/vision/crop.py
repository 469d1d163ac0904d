"""From a frame and a box to the crop that the head takes.

Both sides crop with this code, and what it does is part of the fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from splitfer.shared.contracts import CROP_SIDE, Box

# FER2013, which the weights come from, holds 48x48 pictures. A much sharper crop would be a kind of
# picture that the network has never seen, so every crop is reduced to about this size.
DETAIL_SIDE = 48
ENLARGE = Image.Resampling.BILINEAR
# Of the square's side, in the longer side of its frame: no face is larger.
_MOST_FRAMES = 8
_MOST_SCALE = 4
_REDUCE = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


@dataclass(frozen=True)
class Cropping:
    """How a face is cut out, so that it looks like a FER2013 picture.

    The side of the square is ``scale`` times that of the detector's box (the mean of both); its
    centre is moved by ``shift_x`` and ``shift_y`` box sides. Measured by
    ``python -m training.data.measure_crop``. It is reduced to ``detail_px`` by the filter
    ``reduce`` (a bilinear one would blur twice), and enlarged.
    """

    scale: Annotated[float, Field(ge=0.1, le=_MOST_SCALE)]
    shift_x: Annotated[float, Field(ge=-1, le=1)]
    shift_y: Annotated[float, Field(ge=-1, le=1)]
    detail_px: Annotated[int, Field(ge=1, le=CROP_SIDE)] = DETAIL_SIDE
    reduce: Literal["bicubic", "lanczos"] = "bicubic"

    def square(self, box: Box) -> tuple[float, float, float]:
        """``(left, top, side)`` in pixels; it may reach over the frame's border."""
        size = (box.w + box.h) / 2
        side = size * self.scale
        centre_x = box.x + box.w / 2 + self.shift_x * size
        centre_y = box.y + box.h / 2 + self.shift_y * size
        return centre_x - side / 2, centre_y - side / 2, side


def crop_face(grey: NDArray[np.uint8], box: Box, cropping: Cropping) -> NDArray[np.uint8]:
    """The crop of one face: grey frame uint8 ``(H, W)`` -> uint8 ``(224, 224)``.

    Where the square reaches over the border, the border's pixels are repeated.

    Raises:
        ValueError: the square is many frames wide, so that most of the crop would be made up.
    """
    left, top, side = cropping.square(box)
    if not 0 < side <= _MOST_FRAMES * max(grey.shape):
        raise ValueError(f"a square of {side:.0f} px in a frame of {grey.shape[1]}x{grey.shape[0]}")
    x0, y0 = int(np.floor(left)), int(np.floor(top))
    x1, y1 = int(np.ceil(left + side)), int(np.ceil(top + side))
    rows = np.clip(np.arange(y0, y1), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(x0, x1), 0, grey.shape[1] - 1)
    patch = Image.fromarray(grey[np.ix_(rows, columns)])
    inner = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    detail = (cropping.detail_px, cropping.detail_px)
    small = patch.resize(detail, _REDUCE[cropping.reduce], box=inner)
    return enlarge_crop(np.asarray(small))


def ready_crop(grey: NDArray[np.uint8], cropping: Cropping) -> NDArray[np.uint8]:
    """The crop of a picture that is a face cut out already: grey uint8 ``(H, W)`` -> uint8
    ``(224, 224)``. One that is not square is filled up at its border."""
    height, width = grey.shape
    if height == width <= cropping.detail_px:
        return enlarge_crop(grey)
    side = max(height, width)
    square = Box((width - side) // 2, (height - side) // 2, side, side)
    return crop_face(grey, square, replace(cropping, scale=1.0, shift_x=0.0, shift_y=0.0))


def enlarge_crop(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small grey picture that is itself the crop, as FER2013's are: uint8 ``(H, W)`` -> uint8
    ``(224, 224)``."""
    return np.asarray(Image.fromarray(picture).resize((CROP_SIDE, CROP_SIDE), ENLARGE))
