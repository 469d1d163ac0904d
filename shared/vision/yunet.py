"""Faces at any turn and of few pixels, by YuNet: a network of 50,000 parameters.

    picture -> levels, each a quarter as large as the one before -> tiles of bounded size
    tile -> network -> at each cell of 8, 16 and 32 px a score and a box -> the best of each face

A level has the faces that are too large for the finer one. The parameters are those of
libfacedetection (Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023), whose licence
stands beside the file; ``training.export.yunet`` made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.vision.detection import SearchLimits, resized
from splitfer.shared.weights.runtime import read_model, session

MODEL = Path(__file__).with_name("yunet.onnx")
STRIDES = (8, 16, 32)
SCORE = 0.5
# It is quick enough to look more closely than it is asked to, up to this longer side.
_FINER, _FINE_SIDE_PX = 1.25, 800
# Boxes that share more than this of what both cover are of one face.
_SHARED = 0.3
_MOST_BOXES = 1000
_MULTIPLE_PX = max(STRIDES)
# Memory is bounded by the tile. A face smaller than the overlap lies whole in one of the tiles;
# the next level has the others.
TILE_PX, OVERLAP_PX = 1024, 256
_COARSER = 4
# In a level of at most this size no face is too large for the network.
LAST_LEVEL_PX = 480
# dlib's box of the same face, in the mean side of the network's: its side, and how far its middle
# lies below. Measured by ``python -m training.data.measure_crop``.
_SIDE, _DOWN = 0.95, 0.07

Boxes = NDArray[np.float32]
"""``(N, 5)``: score, left, top, right, bottom."""


class YunetDetector:
    """Finds faces of at least about 12 px in the searched picture, also turned and tilted ones."""

    near_px = 64

    def __init__(self, limits: SearchLimits) -> None:
        self._session = session(_model(), 1)
        self._limits = limits

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first. ``side_px`` is
        the longer side in the search, where it is not the detector's own."""
        side_px = side_px or self._limits.searched_px(max(grey.shape))
        side_px = max(side_px, min(round(_FINER * side_px), _FINE_SIDE_PX))
        searched, ratio = resized(grey, side_px)
        found = [tile.owned(self._boxes(tile.pixels)) for tile in _tiles(searched)]
        rows = best_of(np.concatenate(found))[:, 1:] * ratio
        return self._limits.kept([_box(*row) for row in rows.tolist()])

    def _boxes(self, pixels: NDArray[np.uint8]) -> Boxes:
        height, width = pixels.shape
        padding = ((0, -height % _MULTIPLE_PX), (0, -width % _MULTIPLE_PX))
        maps = self._session.run(None, {"picture": np.pad(pixels, padding)[None, None]})
        return np.concatenate([_cells(m[0], s) for m, s in zip(maps, STRIDES, strict=True)])


@dataclass(frozen=True)
class _Tile:
    """A part of one level: its pixels uint8 ``(H, W)``, where they begin in the level, the part
    of the level that is its own, and how much larger the searched picture is."""

    pixels: NDArray[np.uint8]
    left: int
    top: int
    own_x: tuple[float, float]
    own_y: tuple[float, float]
    by: float

    def owned(self, boxes: Boxes) -> Boxes:
        """The boxes whose middle is its own, in the searched picture."""
        moved = boxes + np.array((0, self.left, self.top, self.left, self.top), np.float32)
        x, y = (moved[:, 1] + moved[:, 3]) / 2, (moved[:, 2] + moved[:, 4]) / 2
        own = (self.own_x[0] <= x) & (x < self.own_x[1])
        own &= (self.own_y[0] <= y) & (y < self.own_y[1])
        return np.asarray(moved[own] * np.array((1, *[self.by] * 4), np.float32))


def _tiles(picture: NDArray[np.uint8]) -> Iterator[_Tile]:
    """Of all levels of a picture uint8 ``(H, W)``."""
    level, by = picture, 1.0
    while True:
        for top, own_y in _parts(level.shape[0]):
            for left, own_x in _parts(level.shape[1]):
                pixels = level[top : top + TILE_PX, left : left + TILE_PX]
                yield _Tile(pixels, left, top, own_x, own_y, by)
        if max(level.shape) <= LAST_LEVEL_PX:
            return
        by *= _COARSER
        height, width = (max(1, round(side / by)) for side in picture.shape)
        reduced = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        level = np.asarray(reduced)


def _parts(side_px: int) -> Iterator[tuple[int, tuple[float, float]]]:
    """Where tiles begin along a side, and from where to where the middles are their own."""
    step = TILE_PX - OVERLAP_PX
    starts = range(0, max(1, side_px - OVERLAP_PX), step)
    for start in starts:
        first, last = start == 0, start == starts[-1]
        low = -np.inf if first else start + OVERLAP_PX / 2
        yield start, (low, np.inf if last else start + step + OVERLAP_PX / 2)


def _cells(found: NDArray[np.float32], stride: int) -> Boxes:
    """Boxes of one of the network's maps ``(6, H, W)`` whose score is at least ``SCORE``."""
    scores = np.sqrt(_sigmoid(found[0]) * _sigmoid(found[1]))
    y, x = np.nonzero(scores >= SCORE)
    right, down, w, h = found[2:, y, x]
    # A hostile picture must not make numbers that cannot be counted with.
    w, h = (np.exp(np.clip(log, -8, 8)) / 2 for log in (w, h))
    x, y = x + right, y + down
    return np.stack(
        (scores[scores >= SCORE], *(side * stride for side in (x - w, y - h, x + w, y + h))), axis=1
    )


def best_of(boxes: Boxes) -> Boxes:
    """The best box of each face: those that no box with a higher score covers much of."""
    left = boxes[np.argsort(-boxes[:, 0], kind="stable")][:_MOST_BOXES]
    best = []
    while len(left):
        best.append(left[0])
        left = left[_shared(left[0], left) <= _SHARED]
    return np.array(best, np.float32).reshape(-1, 5)


def _shared(box: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
    """Of the area that ``box`` and each of ``boxes`` cover together: what both cover."""
    low, high = np.maximum(box[1:3], boxes[:, 1:3]), np.minimum(box[3:], boxes[:, 3:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 3:] - boxes[:, 1:3], axis=1)
    return np.asarray(both / (np.prod(box[3:] - box[1:3]) + areas - both))


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    """The network's box as dlib's would be."""
    size = (right - left + bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2 + _DOWN * size
    side = round(_SIDE * size)
    return Box(round(x - side / 2), round(y - side / 2), side, side)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -50, 50))))


@cache
def _model() -> bytes:
    return read_model(MODEL)
