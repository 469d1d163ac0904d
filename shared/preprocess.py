"""From a frame and a box to the crop that the head takes.

Both sides crop with this code, and what it does is part of the fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.contracts import CROP_SIDE, Box

# FER2013, which the weights come from, holds 48x48 pictures. A sharper crop would be a kind of
# picture that the network has never seen, so every crop goes through this size.
DETAIL_SIDE = 48
# Bilinear would blur twice: the way down must leave what a 48x48 picture has.
REDUCE = Image.Resampling.BICUBIC
ENLARGE = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class CropGeometry:
    """The square around a detector's box that looks like a FER2013 picture.

    Its side is ``scale`` times the box's mean side; its centre is moved by ``shift_x`` and
    ``shift_y`` box sides. Measured by ``python -m training.measure_crop``.
    """

    scale: float
    shift_x: float
    shift_y: float

    def square(self, box: Box) -> tuple[float, float, float]:
        """``(left, top, side)`` in pixels; it may reach over the frame's border."""
        size = (box.w + box.h) / 2
        side = size * self.scale
        centre_x = box.x + box.w / 2 + self.shift_x * size
        centre_y = box.y + box.h / 2 + self.shift_y * size
        return centre_x - side / 2, centre_y - side / 2, side


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 ``(H, W, 3)`` -> uint8 ``(H, W)`` by ITU-R 601 weights."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def crop_face(grey: NDArray[np.uint8], box: Box, geometry: CropGeometry) -> NDArray[np.uint8]:
    """The crop of one face: grey frame uint8 ``(H, W)`` -> uint8 ``(224, 224)``.

    Where the square reaches over the border, the border's pixels are repeated.
    """
    left, top, side = geometry.square(box)
    x0, y0 = int(np.floor(left)), int(np.floor(top))
    x1, y1 = int(np.ceil(left + side)), int(np.ceil(top + side))
    rows = np.clip(np.arange(y0, y1), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(x0, x1), 0, grey.shape[1] - 1)
    patch = Image.fromarray(grey[np.ix_(rows, columns)])
    inner = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    small = patch.resize((DETAIL_SIDE, DETAIL_SIDE), REDUCE, box=inner)
    return enlarge_crop(np.asarray(small))


def enlarge_crop(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture that is itself the crop: uint8 ``(H, W)`` -> uint8 ``(224, 224)``."""
    image = Image.fromarray(picture)
    detail, full = (DETAIL_SIDE, DETAIL_SIDE), (CROP_SIDE, CROP_SIDE)
    if image.size != detail:
        image = image.resize(detail, REDUCE)
    return np.asarray(image.resize(full, ENLARGE))
