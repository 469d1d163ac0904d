"""Where dlib's box lies in a FER2013 picture: ``python -m training.measure_crop --data PATH``.

FER2013 was cropped by another detector. Each picture is enlarged, dlib is run on it, and the
median relation of picture and box gives the ``CropGeometry`` that makes a dlib crop look like
FER2013.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from PIL import Image
from tqdm import tqdm

from shared.contracts import Box
from shared.detection import FaceDetector
from training.datasets import DataError, Faces, data_path, load_fer2013

ENLARGED_PX = 224
# Half a picture of repeated border around it lets boxes reach over the picture's edge.
PADDING_PX = 112


def measure(faces: Faces) -> dict[str, float]:
    """Medians and quartiles of scale and shift over the faces in which dlib finds one box."""
    detector = FaceDetector(10**6, 0, 32)
    rows = []
    for picture in tqdm(faces.pictures, desc="faces", unit="face"):
        size = (ENLARGED_PX, ENLARGED_PX)
        large = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        boxes = detector.detect(np.pad(large, PADDING_PX, mode="edge"))
        if len(boxes) == 1:
            rows.append(_relation(boxes[0]))
    if not rows:
        raise DataError("no face was found in any of the pictures")
    scale, shift_x, shift_y = np.array(rows).T
    result = {"n": len(faces), "found": len(rows), "found_share": len(rows) / len(faces)}
    for name, values in (("scale", scale), ("shift_x", shift_x), ("shift_y", shift_y)):
        low, middle, high = np.percentile(values, (25, 50, 75))
        result |= {name: middle, f"{name}_p25": low, f"{name}_p75": high}
    return {key: round(float(value), 4) for key, value in result.items()}


def _relation(box: Box) -> tuple[float, float, float]:
    """``(scale, shift_x, shift_y)`` that takes the box to the whole picture."""
    size = (box.w + box.h) / 2
    centre = PADDING_PX + ENLARGED_PX / 2
    return (
        ENLARGED_PX / size,
        (centre - (box.x + box.w / 2)) / size,
        (centre - (box.y + box.h / 2)) / size,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--most", type=int, default=3000, help="pictures to look at")
    arguments = parser.parse_args()
    faces = load_fer2013(data_path(arguments.data), "Training")
    print(json.dumps(measure(faces.subset(np.arange(len(faces)) < arguments.most))))


if __name__ == "__main__":
    main()
