"""Where a detector's box lies in a FER2013 picture:
``python -m training.data.measure_crop --data PATH [--detector NAME]``.

FER2013 was cropped by another detector. Each picture is enlarged, the detector is run on it, and
the median relation of picture and box gives the ``Cropping`` that makes a crop look like FER2013.
Every detector's boxes have dlib's geometry, so that what this says of another one is to be what it
says of dlib.

dlib searches in steps: each of its boxes is 1.2 times as large as the one before, and lies on a
grid of a tenth of its side. At one size of picture the median would be one of these steps, so size
and place are drawn for each picture, which averages the steps out.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from PIL import Image
from tqdm import tqdm

from splitfer.shared.contracts import Box
from splitfer.shared.detectors import DetectorName
from splitfer.shared.vision.detection import SearchLimits, open_detector
from training.data.datasets import DataError, Faces, data_path, load_fer2013

SMALLEST_PX, LARGEST_PX = 150, 250
# The widest step of the grid on which boxes of these sizes lie.
OFFSET_PX = 24


def measure(faces: Faces, which: DetectorName = DetectorName.DLIB) -> dict[str, float]:
    """Medians and quartiles of scale and shift over the faces in which one box is found."""
    detector = open_detector(which, SearchLimits(10**6, 0, 32))
    rows = []
    rng = np.random.default_rng(0)
    for picture in tqdm(faces.pictures, desc="faces", unit="face", disable=None):
        side = int(rng.integers(SMALLEST_PX, LARGEST_PX + 1))
        # Half a picture of repeated border around it lets boxes reach over the picture's edge.
        x, y = (side // 2 + int(offset) for offset in rng.integers(0, OFFSET_PX, 2))
        large = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))
        boxes = detector.detect(np.pad(large, ((y, side // 2), (x, side // 2)), mode="edge"))
        if len(boxes) == 1:
            rows.append(relation(boxes[0], Box(x, y, side, side)))
    if not rows:
        raise DataError("no face was found in any of the pictures")
    scale, shift_x, shift_y = np.array(rows).T
    result = {"n": len(faces), "found": len(rows), "found_share": len(rows) / len(faces)}
    for name, values in (("scale", scale), ("shift_x", shift_x), ("shift_y", shift_y)):
        low, middle, high = np.percentile(values, (25, 50, 75))
        result |= {name: middle, f"{name}_p25": low, f"{name}_p75": high}
    return {key: round(float(value), 4) for key, value in result.items()}


def relation(box: Box, picture: Box) -> tuple[float, float, float]:
    """``(scale, shift_x, shift_y)`` that takes the box to the whole picture, which is square."""
    size = (box.w + box.h) / 2
    return (
        picture.w / size,
        (picture.x + picture.w / 2 - (box.x + box.w / 2)) / size,
        (picture.y + picture.h / 2 - (box.y + box.h / 2)) / size,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--most", type=int, default=3000, help="pictures to look at")
    parser.add_argument(
        "--detector", type=DetectorName, choices=tuple(DetectorName), default=DetectorName.DLIB
    )
    arguments = parser.parse_args()
    faces = load_fer2013(data_path(arguments.data), "Training")
    some = faces.subset(np.arange(len(faces)) < arguments.most)
    print(json.dumps(measure(some, arguments.detector)))


if __name__ == "__main__":
    main()
