"""Which pictures to measure: sides and qualities of each codec, less what is no use to try."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.accuracy.picture_codec import PictureCodec, avif_is_there
from splitfer.shared.vision.crop import DETAIL_SIDE

SIDES_PX = (32, 40, 48, 64, 96, 128, 160, 224)
# AVIF is slow, and its container alone takes as much as a small WebP.
AVIF_SIDES_PX = (32, 48, 64, 96)
QUALITIES: dict[str, tuple[int, ...]] = {
    "jpeg": (1, 5, 10, 15, 20, 30, 40, 50, 60, 75, 85, 95),
    "webp": (1, 5, 10, 20, 30, 40, 50, 60, 75, 90),
    "avif": (10, 20, 30, 40, 50, 60, 75, 90),
}
# Faces from which a point's size and likeness are told.
SAMPLE = 32
# Points of one codec whose sizes are closer than this tell the same.
LEAST_STEP = 1.07


@dataclass(frozen=True)
class Sampled:
    """One codec at one side and quality: mean bytes, and mean squared error of what the head sees,
    at 48x48."""

    codec: PictureCodec
    bytes_mean: float
    error: float


def sample(codec: PictureCodec, pictures: NDArray[np.uint8]) -> Sampled:
    """Size and error over pictures uint8 ``(N, 48, 48)``."""
    sizes, errors = [], []
    for picture in pictures:
        data = codec.encode(picture)
        read = Image.fromarray(codec.decode(data))
        seen = np.asarray(read.resize((DETAIL_SIDE, DETAIL_SIDE), Image.Resampling.BILINEAR))
        sizes.append(len(data))
        errors.append(float(np.square(seen.astype(float) - picture).mean()))
    return Sampled(codec, float(np.mean(sizes)), float(np.mean(errors)))


def worth_measuring(points: list[Sampled]) -> list[Sampled]:
    """Those of one codec that no other betters in both size and likeness, smallest first.

    Of neighbours that are almost the same size the larger is left out, but never the last.
    """
    kept: list[Sampled] = []
    for point in sorted(points, key=lambda one: (one.bytes_mean, one.error)):
        if not kept or point.error < kept[-1].error:
            kept.append(point)
    spaced: list[Sampled] = []
    for point in kept:
        if (
            not spaced
            or point is kept[-1]
            or (point.bytes_mean >= LEAST_STEP * spaced[-1].bytes_mean)
        ):
            spaced.append(point)
    return spaced


def choose(pictures: NDArray[np.uint8]) -> dict[str, list[Sampled]]:
    """What to measure of each codec, smallest first; all of it is sampled on a few pictures."""
    few = pictures[:: max(1, len(pictures) // SAMPLE)][:SAMPLE]
    kinds = [kind for kind in QUALITIES if kind != "avif" or avif_is_there()]
    grid = [
        PictureCodec(kind, quality, side)
        for kind in kinds
        for quality in QUALITIES[kind]
        for side in (AVIF_SIDES_PX if kind == "avif" else SIDES_PX)
    ]
    grid.append(PictureCodec("webp", None))  # without loss: the curve's end
    points = [sample(codec, few) for codec in tqdm(grid, desc="sizes", disable=None)]
    return {
        kind: worth_measuring([point for point in points if point.codec.kind == kind])
        for kind in kinds
    }
