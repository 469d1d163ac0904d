"""FER2013 as a camera would show it: part of ``python -m benchmarks.accuracy``.

Each picture is enlarged and laid into a larger frame, at a size, place and background that its id
decides; then dlib finds the face and the product's own code crops it. Beside it stands the direct
figure on the same faces, those that were found, and the figure where each box is moved and resized
by up to a tenth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.bootstrap import difference
from benchmarks.paths import BATCH, Column, Paths, Scores, crops_of, joined
from edge_client.config import EdgeConfig
from shared.contracts import Box, Limits
from shared.contracts import Path as AnswerPath
from shared.detection import FaceDetector
from shared.preprocess import crop_face
from training.datasets import DataError, Faces

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


def measure(paths: Paths, columns: dict[str, Column], faces: Faces) -> dict[str, Any]:
    """Accuracy by column: direct, detected, jittered, on the faces that were found.

    Raises:
        DataError: no face was found in any picture.
    """
    columns = {name: c for name, c in columns.items() if c.path is not AnswerPath.IMAGE}
    limits, geometry = Limits(), paths.weights.manifest.crop
    search_px = EdgeConfig.model_fields["search_side_px"].default
    detector = FaceDetector(search_px, limits.smallest_face_px, limits.faces_per_frame)
    found, backgrounds = [], []
    crops: dict[str, list[NDArray[np.uint8]]] = {view: [] for view in VIEWS}
    scores: dict[str, dict[Column, list[Scores]]] = {
        view: {column: [] for column in columns.values()} for view in VIEWS
    }

    def run() -> None:
        for view, some in crops.items():
            if some:
                for column, one in paths.run(list(columns.values()), np.stack(some)).items():
                    scores[view][column].append(one)
                some.clear()

    for place, picture in enumerate(tqdm(faces.pictures, unit="face", disable=None)):
        number = int(faces.ids[place])
        grey, where, background = frame(picture, number)
        box = the_face(detector.detect(grey), where)
        if box is None:
            continue
        found.append(place)
        backgrounds.append(background)
        crops["direct"].append(crops_of(picture[None])[0])
        crops["detected"].append(crop_face(grey, box, geometry))
        crops["jittered"].append(crop_face(grey, jittered(box, number), geometry))
        if len(crops["direct"]) == BATCH:
            run()
    run()
    if not found:
        raise DataError("no face was found in any of the pictures")
    labels, on = faces.labels[found], np.array(backgrounds)
    right = {
        name: {view: joined(scores[view][column]).right(labels) for view in VIEWS}
        for name, column in columns.items()
    }
    return {
        "through_detector": {name: _row(views, on) for name, views in right.items()},
        "found": len(found),
        "found_share": round(len(found) / len(faces), 4),
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
            for name in BACKGROUNDS if (on == name).any()
        },
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{result['frame']}: {result['found']} faces found ({result['found_share']:.1%})", "",
        f"{'path':<14}{'direct':>9}" + "".join(
            f"{view:>10}{'difference, points':>26}" for view in VIEWS[1:]
        ),
    ]  # fmt: skip
    for name, found in result["through_detector"].items():
        lines.append(
            f"{name:<14}{found['direct']:>9.2%}{found['detected']:>10.2%}"
            f"{_points(found['detected - direct']):>26}{found['jittered']:>10.2%}"
            f"{_points(found['jittered - direct']):>26}"
        )
    return "\n".join(lines)


def _points(found: dict[str, Any]) -> str:
    low, high = (100 * end for end in found["interval_95"])
    return f"{100 * found['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
