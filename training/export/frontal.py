"""dlib's frontal face detector as files: for dlib, and for browsers. Written by
``python -m training.export.frontal``.

Its classifiers are windows of 10x10 cells in 31 planes, of low rank: each plane is a sum of a few
outer products, written as ``cloud_server/rest_api/edge/wasm/frontal.c`` reads them.
"""

from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

import splitfer.cloud_server
from splitfer.shared.vision.dlib_detector import MODEL

PLANES, WINDOW = 31, 10
# Of the singular values: below it there is nothing but rounding.
_LEAST = 1e-6
_NEGATIVE, _LENGTH = 0x80, 0x0F
_HEAD_NUMBERS = 11


@dataclass
class _Reader:
    """dlib's serialised numbers: a byte with sign and length, then the bytes, lowest first."""

    data: bytes
    at: int = 0

    def whole(self) -> int:
        first = self.data[self.at]
        end = self.at + 1 + (first & _LENGTH)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if first & _NEGATIVE else value

    def real(self) -> float:
        mantissa, exponent = self.whole(), self.whole()
        return math.ldexp(mantissa, exponent)


def frontal_classifiers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The classifiers ``(5, 31, 10, 10)`` of dlib's detector, and their thresholds ``(5,)``.

    Raises:
        ValueError: it is no detector of this form.
    """
    reader = _Reader(MODEL.read_bytes())
    for _ in range(_HEAD_NUMBERS):
        reader.whole()
    reader.real()
    values = PLANES * WINDOW * WINDOW
    if reader.whole() != values:
        raise ValueError("dlib's detector is not one of 10x10 cells in 31 planes")
    reader.real()  # how much of two windows may be common
    reader.real()
    rows = []
    for _ in range(reader.whole()):
        reader.whole()  # a column of so many rows
        reader.whole()
        rows.append([reader.real() for _ in range(values + 1)])
    found = np.array(rows)
    return found[:, :-1].reshape(-1, PLANES, WINDOW, WINDOW), found[:, -1]


def frontal_file() -> bytes:
    """The bytes of ``frontal.bin``."""
    classifiers, thresholds = frontal_classifiers()
    filters = []
    for detector, planes in enumerate(classifiers):
        for number, plane in enumerate(planes):
            down, values, across = np.linalg.svd(plane)
            for k in np.flatnonzero(values > _LEAST):
                part = np.concatenate((across[k], down[:, k])) * np.sqrt(values[k])
                filters.append(struct.pack("<2i", detector, number) + part.astype("<f4").tobytes())
    head = struct.pack("<2i", len(thresholds), len(filters)) + thresholds.astype("<f4").tobytes()
    return head + b"".join(filters)


if __name__ == "__main__":
    dlib.get_frontal_face_detector().save(str(MODEL))
    to = Path(splitfer.cloud_server.__path__[0]) / "rest_api" / "edge" / "frontal.bin"
    to.write_bytes(frontal_file())
    for file in (MODEL, to):
        sys.stdout.write(f"{file}: {file.stat().st_size} bytes\n")
