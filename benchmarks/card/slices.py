"""Parts of the faces on which a network may do better or worse, and faces with a part covered."""

from __future__ import annotations

from dataclasses import dataclass

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
# dlib's frontal detector is five, in this order.
POSES = ("frontal", "looking left", "looking right", "tilted left", "tilted right")
NO_FACE = "no face found"
# dlib finds no face in 48 px. Repeated border around the picture lets boxes reach over its edge.
ENLARGED_PX = 224
PADDING_PX = 112
# Rows and columns of a 48x48 picture. FER2013's faces are registered: the mean face has its eyes
# and its mouth in these.
COVERED = {"eyes": (slice(13, 23), slice(5, 43)), "mouth": (slice(31, 44), slice(11, 37))}


@dataclass(frozen=True, eq=False)
class Slice:
    """Some faces: what they have in common, and which they are, bool ``(N,)``."""

    by: str
    name: str
    chosen: NDArray[np.bool_]


def quarters(by: str, values: NDArray[np.floating]) -> list[Slice]:
    """Four slices of equally many, by ``values`` ``(N,)``; their range is part of the name."""
    places = np.empty(len(values), np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(len(values)) * 4 // len(values)
    found = []
    for quarter, name in enumerate(QUARTERS):
        chosen = places == quarter
        if chosen.any():
            low, high = values[chosen].min(), values[chosen].max()
            found.append(Slice(by, f"{name} ({low:.0f} to {high:.0f})", chosen))
    return found


def of_light(pictures: NDArray[np.uint8]) -> list[Slice]:
    """By brightness (mean) and contrast (standard deviation) of uint8 ``(N, 48, 48)``."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    return [*quarters("brightness", flat.mean(axis=1)), *quarters("contrast", flat.std(axis=1))]


def of_pose(pictures: NDArray[np.uint8]) -> list[Slice]:
    """By the sub-detector of dlib's that is surest of the enlarged picture."""
    detector = dlib.get_frontal_face_detector()
    names = np.array(
        [
            _pose(detector, picture)
            for picture in tqdm(pictures, desc="pose", unit="face", disable=None)
        ]
    )
    slices = [Slice("pose", name, names == name) for name in (*POSES, NO_FACE)]
    return [one for one in slices if one.chosen.any()]


def _pose(detector: dlib.fhog_object_detector, picture: NDArray[np.uint8]) -> str:
    size = (ENLARGED_PX, ENLARGED_PX)
    large = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    boxes, scores, kinds = detector.run(np.pad(large, PADDING_PX, mode="edge"), 0, 0.0)
    return POSES[kinds[int(np.argmax(scores))]] if len(boxes) else NO_FACE


def covered(pictures: NDArray[np.uint8], part: str) -> NDArray[np.uint8]:
    """uint8 ``(N, 48, 48)`` with ``eyes`` or ``mouth`` under a bar of the picture's mean grey."""
    made = pictures.copy()
    mean = pictures.reshape(len(pictures), -1).mean(axis=1).round().astype(np.uint8)
    made[:, *COVERED[part]] = mean[:, None, None]
    return made
