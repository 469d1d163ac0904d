"""FER2013 as a camera would show it: part of ``python -m benchmarks accuracy``.

Each picture is enlarged and laid into a larger frame, at a size, place and background that its id
decides; then a detector finds the face and the product's own code crops it. Beside it stands the
direct figure on the same faces, those that were found, and the figure where each box is moved and
resized by up to a tenth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.accuracy.paths import BATCH, Column, Paths
from benchmarks.common.bootstrap import difference, points
from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.contracts import AnswerPath, Box, Limits
from splitfer.shared.detectors import DetectorName
from splitfer.shared.vision.crop import Cropping, crop_face, enlarge_crop
from splitfer.shared.vision.detection import FaceDetector, SearchLimits, open_detector
from training.data.datasets import DataError, Faces

WIDTH_PX, HEIGHT_PX = 640, 480
SMALLEST_PX, LARGEST_PX = 150, 250
JITTER = 0.1
# "border" goes on with the picture's own edge, as a scene would; the others end it abruptly.
BACKGROUNDS = ("border", "grey", "noise")
VIEWS = ("direct", "detected", "jittered")


def frame(picture: NDArray[np.uint8], number: int) -> tuple[NDArray[np.uint8], Box, str]:
    """A frame uint8 ``(480, 640)``, where the picture lies in it, and the background's name.

    Everything follows from ``number``, the picture's id.
    """
    rng = np.random.default_rng(number)
    side = int(rng.integers(SMALLEST_PX, LARGEST_PX + 1))
    x, y = int(rng.integers(0, WIDTH_PX - side + 1)), int(rng.integers(0, HEIGHT_PX - side + 1))
    large = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
    background = BACKGROUNDS[number % len(BACKGROUNDS)]
    if background == "border":
        around = ((y, HEIGHT_PX - side - y), (x, WIDTH_PX - side - x))
        return np.pad(large, around, mode="edge"), Box(x, y, side, side), background
    if background == "grey":
        made = np.full((HEIGHT_PX, WIDTH_PX), 128, np.uint8)
    else:
        made = rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
    made[y : y + side, x : x + side] = large
    return made, Box(x, y, side, side), background


def the_face(boxes: list[Box], place: Box) -> Box | None:
    """The largest box whose centre lies in ``place``."""
    for box in boxes:
        x, y = box.x + box.w / 2 - place.x, box.y + box.h / 2 - place.y
        if 0 <= x < place.w and 0 <= y < place.h:
            return box
    return None


def jittered(box: Box, number: int) -> Box:
    """The box moved along both axes and resized, each by up to a tenth of its side."""
    across, down, larger = np.random.default_rng((number, 1)).uniform(-JITTER, JITTER, 3)
    w, h = box.w * (1 + larger), box.h * (1 + larger)
    x = box.x + box.w / 2 + across * box.w - w / 2
    y = box.y + box.h / 2 + down * box.h - h / 2
    return Box(round(x), round(y), round(w), round(h))


@dataclass(frozen=True)
class Found:
    """A face that was found: its place in the data, its background, and its crops uint8
    ``(3, 224, 224)`` in the order of ``VIEWS``."""

    place: int
    background: str
    crops: NDArray[np.uint8]


def find(faces: Faces, detector: FaceDetector, cropping: Cropping) -> Iterator[Found]:
    """Every picture whose face is found in its frame."""
    for place, picture in enumerate(tqdm(faces.pictures, unit="face", disable=None)):
        number = int(faces.ids[place])
        grey, where, background = frame(picture, number)
        box = the_face(detector.detect(grey), where)
        if box is not None:
            crops = [crop_face(grey, b, cropping) for b in (box, jittered(box, number))]
            yield Found(place, background, np.stack((enlarge_crop(picture), *crops)))


def measure(
    paths: Paths, columns: dict[str, Column], faces: Faces, which: DetectorName = DetectorName.DLIB
) -> dict[str, Any]:
    """Accuracy by column: direct, detected, jittered, on the faces that were found.

    Raises:
        DataError: no face was found in any picture.
    """
    columns = {name: c for name, c in columns.items() if c.path is not AnswerPath.IMAGE}
    limits = Limits()
    search_px = EdgeConfig.model_fields["search_side_px"].default
    detector = open_detector(
        which, SearchLimits(search_px, limits.smallest_face_px, limits.faces_per_frame)
    )
    faces_found = find(faces, detector, paths.weights.manifest.crop)
    backgrounds: list[str] = []
    right: dict[str, dict[str, list[bool]]] = {n: {v: [] for v in VIEWS} for n in columns}
    while batch := list(islice(faces_found, BATCH)):
        labels = faces.labels[[one.place for one in batch]]
        for place, view in enumerate(VIEWS):
            crops = np.stack([one.crops[place] for one in batch])
            scores = paths.run(list(columns.values()), crops)
            for name, column in columns.items():
                right[name][view].extend(scores[column].right(labels))
        backgrounds.extend(one.background for one in batch)
    if not backgrounds:
        raise DataError("no face was found in any of the pictures")
    on = np.array(backgrounds)
    return {
        "through_detector": {
            name: _row({view: np.array(row) for view, row in views.items()}, on)
            for name, views in right.items()
        },
        "detector": which.value,
        "found": len(backgrounds),
        "found_share": round(len(backgrounds) / len(faces), 4),
        "frame": f"{WIDTH_PX}x{HEIGHT_PX}, pictures of {SMALLEST_PX}-{LARGEST_PX} px, "
        f"searched at {search_px} px",
    }


def _row(views: dict[str, NDArray[np.bool_]], on: NDArray[np.str_]) -> dict[str, Any]:
    direct = views["direct"]
    return {
        **{view: round(float(right.mean()), 6) for view, right in views.items()},
        "detected - direct": difference(views["detected"], direct),
        "jittered - direct": difference(views["jittered"], direct),
        "jittered - detected": difference(views["jittered"], views["detected"]),
        "detected - direct by background": {
            name: difference(views["detected"][on == name], direct[on == name])
            for name in BACKGROUNDS
            if (on == name).any()
        },
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    found_by = f"found by {result['detector']} ({result['found_share']:.1%})"
    lines = [f"{result['frame']}: {result['found']} faces {found_by}", ""]
    lines.append(f"{'path':<14}" + "".join(f"{view:>10}" for view in VIEWS))
    for name, found in result["through_detector"].items():
        lines.append(f"{name:<14}" + "".join(f"{found[view]:>10.2%}" for view in VIEWS))
    for name, found in result["through_detector"].items():
        for view in VIEWS[1:]:
            lines.append(f"{name}, {view} - direct: {points(found[f'{view} - direct'])}")
    return "\n".join(lines)
