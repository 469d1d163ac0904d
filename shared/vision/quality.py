"""How good the picture of a face is, measured on its crop: whether to trust the answer about it.

Four parts, each from 0 (nothing can be told) to 1 (as good as a good picture): how many pixels the
face had, how sharp it is, how bright, and how much contrast it has. The score is the least of them,
chosen (``python -m benchmarks quality_fit``) to be about the share that is left of the accuracy on
good pictures. It sees neither what covers a face nor how the head is turned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import CROP_SIDE, Box
from splitfer.shared.vision.crop import Cropping

# The crop's own detail: it was enlarged from about so many pixels.
_SIDE = 56
_STEP = CROP_SIDE // _SIDE
# What a flat crop, whose sharpness is nothing by nothing, counts as.
_LEAST = 1e-6


@dataclass(frozen=True)
class QualityScale:
    """Where each part is 0 and where it reaches 1; between them it is linear in the logarithm.

    ``size_px`` by the side of the face's square in the frame; ``brightness`` by the mean and
    ``contrast`` by the deviation of the grey values (0 to 255); ``sharpness`` by ``measures``.
    Between the ends of ``noise`` that part falls again, from 1 to 0: only noise is so fine.
    """

    size_px: tuple[float, float]
    sharpness: tuple[float, float]
    noise: tuple[float, float]
    brightness: tuple[float, float]
    contrast: tuple[float, float]


SCALE = QualityScale(
    size_px=(1.22, 25.5),
    sharpness=(0.00517, 0.866),
    noise=(4.3, 8.69),
    brightness=(0.2, 4.0),
    contrast=(0.1, 1.5),
)


@dataclass(frozen=True)
class Quality:
    """The score and its parts, each from 0 to 1."""

    score: float
    size: float
    sharpness: float
    brightness: float
    contrast: float


def quality(crop: NDArray[np.uint8], side_px: float, scale: QualityScale = SCALE) -> Quality:
    """Of one face: its crop uint8 ``(224, 224)``, and the side in the frame's pixels of the square
    that the crop was made of (``Cropping.square``).

    Raises:
        ValueError: the crop is of another shape.
    """
    parts = quality_parts(measures(crop), np.array(side_px), scale)
    return Quality(float(parts.min()), *(float(part) for part in parts))


def scores(
    crops: Iterable[NDArray[np.uint8]], boxes: Iterable[Box], cropping: Cropping
) -> tuple[float, ...]:
    """The scores of a frame's faces: their crops uint8 ``(224, 224)``, and the boxes that those
    were cut out of by ``cropping``."""
    return tuple(
        quality(crop, cropping.square(box)[2]).score for crop, box in zip(crops, boxes, strict=True)
    )


def measures(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sharpness, brightness and contrast of a crop uint8 ``(224, 224)``, as float64 ``(3,)``.

    Of its means over 4x4 pixels: brightness is their mean and contrast their deviation. Sharpness
    is the mean square of the Laplacian over that of the gradient, which is the square of the mean
    spatial frequency: some 2.2 for FER2013's pictures and for sharp faces in frames, 0.7 where they
    are blurred by 1 px of 48, above 3 under strong noise. Light and contrast do not change it.

    Raises:
        ValueError: the crop is of another shape.
    """
    if crop.shape != (CROP_SIDE, CROP_SIDE):
        raise ValueError(f"a crop is {CROP_SIDE}x{CROP_SIDE}, not {crop.shape}")
    down_sums = _sums(crop.astype(np.uint16))
    grey = _sums(down_sums.T).T.astype(np.float32) / _STEP**2
    down, across = np.diff(grey, axis=0), np.diff(grey, axis=1)
    gradient = (float(np.square(down).mean()) + float(np.square(across).mean())) / 2
    laplacian = np.diff(down, axis=0)[:, 1:-1] + np.diff(across, axis=1)[1:-1]
    curvature = float(np.square(laplacian).mean())
    sharpness = curvature / gradient if gradient > _LEAST else 0.0
    return np.array([sharpness, float(grey.mean()), float(grey.std())])


def _sums(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Of every ``_STEP`` rows. A hundred times as fast as a sum along an axis of a view."""
    return np.asarray(sum(values[start::_STEP] for start in range(1, _STEP)) + values[::_STEP])


def quality_parts(
    measured: NDArray[np.float64], side_px: NDArray[np.float64], scale: QualityScale = SCALE
) -> NDArray[np.float64]:
    """Size, sharpness, brightness, contrast, each 0..1: ``measures`` ``(..., 3)`` and sides
    ``(...)`` -> float64 ``(4, ...)``. The score is the least along the first axis."""
    sharpness, brightness, contrast = np.moveaxis(measured, -1, 0)
    return np.stack(
        (
            _rise(side_px, scale.size_px),
            np.minimum(_rise(sharpness, scale.sharpness), 1 - _rise(sharpness, scale.noise)),
            _rise(brightness, scale.brightness),
            _rise(contrast, scale.contrast),
        )
    )


def _rise(values: NDArray[np.float64], ends: tuple[float, float]) -> NDArray[np.float64]:
    low, high = np.log(ends)
    return np.asarray(np.clip((np.log(np.maximum(values, _LEAST)) - low) / (high - low), 0, 1))
