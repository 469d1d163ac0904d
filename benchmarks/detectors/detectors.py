"""Which faces each detector finds, and at what cost: ``python -m benchmarks detectors --json``.

Faces of FER2013 that people agree on, in made frames of 480x360: found, by size, yaw and roll. What
is found in pictures without a face. Processor time of one search. Of the faces in photographs of
``--photos FOLDER`` that any of the detectors finds: those found again in a photograph so small that
the face has so many pixels.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.truth import USAGES, faces_of
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.detectors.scenes import HEIGHT_PX, WIDTH_PX, Pose, Scene, background, scenes
from benchmarks.device.face_frame import face_frame
from splitfer.shared.contracts import Box
from splitfer.shared.detectors import DetectorName
from splitfer.shared.errors import SourceError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.detection import FaceDetector, SearchLimits, open_detector, resized
from splitfer.shared.vision.picture import to_grey
from training.study.figure_file import figure_path

SIDES_PX = (12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 120)
PHOTO_SIDES_PX = (16, 20, 24, 32, 48, 80)
TURNED_SIDE_PX = 100
YAWS_DEG = (0, 15, 30, 45, 60, 70)
ROLLS_DEG = (0, 10, 20, 30, 45, 60, 90, 180)
SEARCH_SIDE_PX = 480
# A box is that of a face where both have so much of what they cover in common.
SAME = 0.3
# Pictures that scikit-image carries, without anybody in them. A cat and coins' heads are not here.
WITHOUT = (
    "brick", "cell", "clock_motion", "coffee", "grass", "gravel", "horse", "hubble_deep_field",
    "ihc", "microaneurysms", "moon", "motorcycle_left", "page", "retina", "rocket", "text",
)  # fmt: skip
MADE = 200
Row = dict[str, Any]


def limits(side_px: int = SEARCH_SIDE_PX) -> SearchLimits:
    """Of a search that leaves nothing out."""
    return SearchLimits(side_px, 1, 100)


def recall(detector: FaceDetector, shown: list[Scene]) -> Row:
    """The share of the faces that is found, and how many finds are none."""
    faces = found = other = 0
    for scene in shown:
        boxes = detector.detect(scene.grey)
        matched = [any(overlap(box, face) >= SAME for box in boxes) for face in scene.faces]
        faces, found = faces + len(matched), found + sum(matched)
        other += sum(all(overlap(box, face) < SAME for face in scene.faces) for box in boxes)
    return {"recall": round(found / faces, 4), "faces": faces, "other_finds": other}


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    both = max(0, width) * max(0, height)
    return both / (one.w * one.h + other.w * other.h - both)


def without_faces() -> list[NDArray[np.uint8]]:
    """Grey pictures uint8 ``(H, W)`` that nobody is in.

    Raises:
        SourceError: scikit-image is not there.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SourceError("scikit-image is not installed: its pictures are searched")
    folder = Path(spec.origin).parent / "data"
    named = [next(folder.glob(f"{name}.*")) for name in WITHOUT]
    pictures = [to_grey(np.asarray(Image.open(path).convert("RGB"))) for path in named]
    rng = np.random.default_rng(1)
    made = [background(rng).astype(np.uint8) for _ in range(MADE // 2)]
    made += [rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX), np.uint8) for _ in range(MADE // 2)]
    return pictures + made


def processor_ms(
    detectors: dict[DetectorName, FaceDetector], grey: NDArray[np.uint8], rounds: int
) -> dict[DetectorName, float]:
    """Processor time of one search by each, by turns: medians of the rounds."""
    took: dict[DetectorName, list[float]] = {name: [] for name in detectors}
    for _ in range(rounds):
        for name, detector in detectors.items():
            start = time.process_time()
            detector.detect(grey)
            took[name].append(1000 * (time.process_time() - start))
    return {name: round(float(np.median(each)), 2) for name, each in took.items()}


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    faces = faces_of(arguments, LabelSet.CROWD)
    chosen = np.random.default_rng(0).permutation(len(faces))[: arguments.faces]
    pictures = faces.pictures[chosen]
    detectors = {name: open_detector(name, limits()) for name in DetectorName}
    poses = {
        "by_side_px": [(side, Pose(side)) for side in SIDES_PX],
        "by_yaw_deg": [(yaw, Pose(TURNED_SIDE_PX, yaw_deg=yaw)) for yaw in YAWS_DEG],
        "by_roll_deg": [(roll, Pose(TURNED_SIDE_PX, roll_deg=roll)) for roll in ROLLS_DEG],
    }
    result: dict[str, Any] = {
        "frame": f"{WIDTH_PX}x{HEIGHT_PX}",
        "usage": arguments.usage,
        "faces": len(pictures),
        "turned_side_px": TURNED_SIDE_PX,
        "detectors": {name.value: {} for name in detectors},
    }
    for kind, each in poses.items():
        for value, pose in each:
            shown = list(scenes(pictures, pose, seed=round(100 * value)))
            for name, detector in detectors.items():
                rows = result["detectors"][name].setdefault(kind, [])
                rows.append({kind.removeprefix("by_"): value, **recall(detector, shown)})
    empty = without_faces()
    frame, _ = resized(to_grey(face_frame()[0]), SEARCH_SIDE_PX)
    took = processor_ms(detectors, frame, arguments.rounds)
    for name, detector in detectors.items():
        found = [len(detector.detect(grey)) for grey in empty]
        result["detectors"][name] |= {
            "false_finds": {
                "skimage": sum(found[: len(WITHOUT)]),
                "of_skimage": len(WITHOUT),
                "made": sum(found[len(WITHOUT) :]),
                "of_made": MADE,
            },
            "search_ms": took[name],
        }
    if arguments.photos:
        for name, rows in photographs(detectors, arguments.photos).items():
            result["detectors"][name]["photos_by_side_px"] = rows
    result["machine"] = describe_machine()
    if arguments.plot:
        from benchmarks.detectors.plot import draw

        draw(result, arguments.plot)
    return result


def photographs(
    detectors: dict[DetectorName, FaceDetector], folder: Path
) -> dict[DetectorName, list[Row]]:
    """Rows of the share of a folder's faces that each finds again, by their size.

    Raises:
        SourceError: there are no pictures.
    """
    paths = sorted(one for one in folder.glob("*") if one.suffix.lower() in (".jpg", ".png"))
    if not paths:
        raise SourceError(f"--photos {folder}: no .jpg or .png in it")
    found: dict[DetectorName, dict[int, list[bool]]] = {
        name: {side: [] for side in PHOTO_SIDES_PX} for name in detectors
    }
    for path in paths:
        grey = to_grey(np.asarray(Image.open(path).convert("RGB")))
        faces: list[Box] = []
        for detector in detectors.values():
            more = detector.detect(grey, max(grey.shape))
            faces += [box for box in more if all(overlap(box, one) < SAME for one in faces)]
        for face, side in itertools.product(faces, PHOTO_SIDES_PX):
            by = side / face.w
            if by > 1:
                continue
            size = (max(1, round(grey.shape[1] * by)), max(1, round(grey.shape[0] * by)))
            small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))
            for name, detector in detectors.items():
                boxes = detector.detect(small)
                hit = any(overlap(box, face.scaled(by)) >= SAME for box in boxes)
                found[name][side].append(hit)
    return {
        name: [
            {"side_px": side, "recall": round(float(np.mean(hits)), 4), "faces": len(hits)}
            for side, hits in rows.items()
            if hits
        ]
        for name, rows in found.items()
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    names = list(result["detectors"])
    lines = [f"{result['faces']} faces of {result['usage']} in frames of {result['frame']}"]
    for kind, title in (
        ("by_side_px", "side, px"),
        ("by_yaw_deg", "yaw"),
        ("by_roll_deg", "roll"),
    ):
        lines += ["", f"{title:>10}" + "".join(f"{name:>10}" for name in names)]
        columns = [result["detectors"][name][kind] for name in names]
        for rows in zip(*columns, strict=True):
            value = rows[0][kind.removeprefix("by_")]
            lines.append(f"{value:>10}" + "".join(f"{row['recall']:>10.1%}" for row in rows))
    for name in names:
        one = result["detectors"][name]
        false = one["false_finds"]
        lines.append(
            f"\n{name}: {one['search_ms']} ms; found where nobody is: {false['skimage']} in "
            f"{false['of_skimage']} pictures, {false['made']} in {false['of_made']} made ones"
        )
        lines += [
            f"  in photographs, {row['side_px']} px: {row['recall']:.0%} of {row['faces']}"
            for row in one.get("photos_by_side_px", [])
        ]
    return "\n".join([*lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv: what people said")
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--faces", type=positive, default=600, metavar="N", help="at most (600)")
    parser.add_argument("--rounds", type=positive, default=50, metavar="N", help="of timing (50)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs to search, too")
    parser.add_argument("--plot", type=figure_path, metavar="FILE", help="write the figure, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
