"""Faces as bad pictures show them: what ``benchmarks.degraded`` measures on.

Every function takes pictures uint8 ``(N, 48, 48)`` that are themselves the crops, leaves them as
they are, and gives uint8 of the same shape. Each is deterministic, and what it makes of a picture
does not depend on those after it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]
# Of 48 rows, the first and the one after the last. In the mean face of FER2013 the mouth lies in
# rows 36 to 41 and the eyes in rows 15 to 20: a mask from the nose down, and dark glasses.
MOUTH_ROWS = (30, 48)
EYES_ROWS = (13, 23)
COVER_GREY = 64
NOISE_SEED = 0


@dataclass(frozen=True)
class Degradation:
    """One way to degrade pictures. ``side_px``: how many pixels of the frame a side of the crop was
    made of; None where that stays as it was."""

    apply: Callable[[Pictures], Pictures]
    side_px: int | None = None


def blurred(pictures: Pictures, sigma_px: float) -> Pictures:
    """By a Gaussian of this deviation in pixels of the picture; the border is repeated."""
    reach = int(np.ceil(4 * sigma_px))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    kernel /= kernel.sum()
    grey = pictures.astype(np.float64)
    for axis in (1, 2):
        around = [(reach, reach) if place == axis else (0, 0) for place in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(grey, around, mode="edge"), len(kernel), axis=axis
        )
        grey = windows @ kernel
    return _whole(grey)


def small(pictures: Pictures, side_px: int) -> Pictures:
    """Reduced to ``side_px`` without aliases (bicubic), and enlarged again (bilinear)."""

    def through(picture: Image.Image) -> Image.Image:
        reduced = picture.resize((side_px, side_px), Image.Resampling.BICUBIC)
        return reduced.resize(picture.size, Image.Resampling.BILINEAR)

    return _each(pictures, through)


def rolled(pictures: Pictures, degrees: float) -> Pictures:
    """Turned counterclockwise about the centre (bilinear); the border is repeated."""
    margin = pictures.shape[1] // 2
    wide = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    turned = _each(wide, lambda picture: picture.rotate(degrees, Image.Resampling.BILINEAR))
    return turned[:, margin:-margin, margin:-margin]


def darkened(pictures: Pictures, factor: float) -> Pictures:
    """With so much of the light, in whole numbers as a camera gives them."""
    return _whole(pictures * factor)


def flattened(pictures: Pictures, factor: float) -> Pictures:
    """With so much of the contrast about the middle grey: haze."""
    return _whole(128 + (pictures.astype(np.float64) - 128) * factor)


def covered(pictures: Pictures, rows: tuple[int, int]) -> Pictures:
    """With one grey in place of these rows (the first, and the one after the last)."""
    made = pictures.copy()
    made[:, slice(*rows)] = COVER_GREY
    return made


def jpeg(pictures: Pictures, quality: int) -> Pictures:
    """Written as a JPEG of this quality, and read."""

    def through(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "jpeg", quality=quality)
        return Image.open(file)

    return _each(pictures, through)


def noisy(pictures: Pictures, deviation: float) -> Pictures:
    """With normal noise of this deviation in grey values, always the same; clipped to 0..255."""
    noise = np.random.default_rng(NOISE_SEED).standard_normal(pictures.shape)
    return _whole(pictures + deviation * noise)


def _each(pictures: Pictures, made: Callable[[Image.Image], Image.Image]) -> Pictures:
    through = [np.asarray(made(Image.fromarray(picture))) for picture in pictures]
    return np.stack(through) if through else pictures.copy()


def _whole(grey: NDArray[np.floating[Any]]) -> Pictures:
    return np.asarray(np.rint(grey).clip(0, 255), np.uint8)


CLEAN = "clean"
# By name, in the order of the tables.
DEGRADATIONS = {
    CLEAN: Degradation(np.copy),
    "blur 1 px": Degradation(partial(blurred, sigma_px=1.0)),
    "blur 2 px": Degradation(partial(blurred, sigma_px=2.0)),
    "face of 24 px": Degradation(partial(small, side_px=24), 24),
    "face of 20 px": Degradation(partial(small, side_px=20), 20),
    "roll of 30 deg": Degradation(partial(rolled, degrees=30.0)),
    "light x 0.25": Degradation(partial(darkened, factor=0.25)),
    "light x 0.1": Degradation(partial(darkened, factor=0.1)),
    "mouth covered": Degradation(partial(covered, rows=MOUTH_ROWS)),
    "eyes covered": Degradation(partial(covered, rows=EYES_ROWS)),
    "JPEG 10": Degradation(partial(jpeg, quality=10)),
    "noise of 15": Degradation(partial(noisy, deviation=15.0)),
}
# So bad that little or nothing can be told: where the scores of pictures end. Beside those above
# for `quality_fit` and `--bands`.
SEVERE = {
    "blur 3 px": Degradation(partial(blurred, sigma_px=3.0)),
    "blur 5 px": Degradation(partial(blurred, sigma_px=5.0)),
    "face of 14 px": Degradation(partial(small, side_px=14), 14),
    "face of 10 px": Degradation(partial(small, side_px=10), 10),
    "face of 7 px": Degradation(partial(small, side_px=7), 7),
    "light x 0.04": Degradation(partial(darkened, factor=0.04)),
    "light x 0.015": Degradation(partial(darkened, factor=0.015)),
    "contrast x 0.05": Degradation(partial(flattened, factor=0.05)),
    "contrast x 0.02": Degradation(partial(flattened, factor=0.02)),
    "noise of 40": Degradation(partial(noisy, deviation=40.0)),
    "noise of 80": Degradation(partial(noisy, deviation=80.0)),
}
