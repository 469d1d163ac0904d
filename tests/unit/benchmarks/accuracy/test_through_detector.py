from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.by_path import columns_of
from benchmarks.accuracy.paths import Paths
from benchmarks.accuracy.through_detector import (
    BACKGROUNDS,
    HEIGHT_PX,
    WIDTH_PX,
    frame,
    jittered,
    measure,
    table,
    the_face,
)
from splitfer.shared.contracts import Box
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights
from training.data.datasets import DataError, Faces
from training.data.votes import CONTEMPT

WAVES = (100 + np.add.outer(np.arange(48), np.arange(48))).astype(np.uint8)


def test_a_frame_holds_the_picture_where_it_says() -> None:
    for number in range(30):
        grey, place, background = frame(WAVES, number)
        assert grey.shape == (HEIGHT_PX, WIDTH_PX)
        assert background == BACKGROUNDS[number % 3]
        assert 150 <= place.w == place.h <= 250
        inside = grey[place.y : place.y + place.h, place.x : place.x + place.w]
        small = np.asarray(Image.fromarray(inside).resize((48, 48)), int)
        assert np.abs(small - WAVES).mean() < 1
        np.testing.assert_array_equal(grey, frame(WAVES, number)[0])


def test_the_face_is_the_one_in_the_picture() -> None:
    place, inside, outside = Box(100, 100, 200, 200), Box(110, 120, 150, 150), Box(400, 9, 160, 160)
    assert the_face([outside, inside], place) == inside
    assert the_face([outside], place) is None


def test_jitter_stays_within_a_tenth_and_reaches_for_it() -> None:
    box = Box(100, 100, 200, 200)
    moved = [jittered(box, number) for number in range(300)]
    across = [one.x + one.w / 2 - 200 for one in moved]
    larger = [one.w / 200 for one in moved]
    assert -21 <= min(across) < -18
    assert 18 < max(across) <= 21
    assert 0.89 <= min(larger) < 0.91
    assert 1.09 < max(larger) <= 1.11
    assert jittered(box, 5) == jittered(box, 5)


def test_found_faces_are_measured(weights_folder: Path, astronaut: NDArray[np.uint8]) -> None:
    face = Image.fromarray(to_grey(astronaut)[30:190, 145:305]).resize((48, 48))
    flat = np.full((48, 48), 128, np.uint8)
    pictures = np.stack((np.asarray(face), flat))
    faces = Faces(pictures, np.array([3, 3]), np.array([3, 4]))
    paths = Paths(Weights(weights_folder), "", 1)
    found = measure(paths, columns_of(paths.weights, "all", ""), faces)
    assert (found["found"], found["found_share"]) == (1, 0.5)
    assert set(found["through_detector"]) == {"cloud", "local"}
    row = found["through_detector"]["cloud"]
    assert row["detected - direct"]["difference"] == row["detected"] - row["direct"]
    assert "1 faces found by dlib (50.0%)" in table(found)
    # A label of contempt is one that no answer has.
    contempt = Faces(pictures, np.array([CONTEMPT, CONTEMPT]), faces.ids)
    found = measure(paths, columns_of(paths.weights, "local", ""), contempt)
    assert found["through_detector"]["local"]["detected"] == 0
    with pytest.raises(DataError, match="no face"):
        measure(paths, columns_of(paths.weights, "all", ""), faces.subset(np.array([False, True])))
