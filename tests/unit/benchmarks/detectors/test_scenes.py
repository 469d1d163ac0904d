from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detectors.scenes import (
    HEIGHT_PX,
    PICTURE,
    WIDTH_PX,
    Pose,
    background,
    paste,
    scenes,
)
from splitfer.shared.contracts import Box

WHITE = np.full((48, 48), 255, np.uint8)


def pasted(pose: Pose, turned: int = 1) -> tuple[Box, float, float]:
    """The face's box, and how wide and high what was laid into a black frame is."""
    grey = np.zeros((400, 400), np.float32)
    box = paste(grey, WHITE, (200.0, 200.0), pose, turned)
    rows, columns = np.nonzero(grey > 128)
    return box, float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1


@pytest.mark.parametrize("side", [20, 24, 60, 150])
def test_a_face_has_the_size_and_place_that_are_wanted(side: int) -> None:
    box, width, height = pasted(Pose(side))
    assert box == Box(200 - side // 2, 200 - side // 2, side, side)
    # Where it fades to less than half is not counted.
    assert width == height == pytest.approx(PICTURE * side * 0.925, abs=2)


def test_a_turned_face_is_narrow_and_higher_where_it_is_near() -> None:
    box, width, height = pasted(Pose(100, yaw_deg=60))
    assert box.w == pytest.approx(100 * 0.5, abs=5)
    assert box.h > 110
    assert width < 0.6 * height
    left, right = (pasted(Pose(100, yaw_deg=60), turned)[0] for turned in (-1, 1))
    assert (left.w, left.h) == (right.w, right.h)


def test_a_rolled_face_has_a_box_about_its_corners() -> None:
    assert pasted(Pose(100, roll_deg=45))[0].w == pytest.approx(141, abs=2)
    assert pasted(Pose(100, roll_deg=180))[0].w == 100


def test_a_face_may_reach_over_the_border() -> None:
    grey = np.zeros((100, 100), np.float32)
    paste(grey, WHITE, (0.0, 99.0), Pose(80))
    assert grey[90, 5] > 200
    assert grey[5, 90] == 0


def test_every_picture_is_shown_once_and_the_same_each_time() -> None:
    pictures = np.zeros((8, 48, 48), np.uint8)
    shown = list(scenes(pictures, Pose(40), seed=3))
    assert [len(scene.faces) for scene in shown] == [6, 2]
    assert all(scene.grey.shape == (HEIGHT_PX, WIDTH_PX) for scene in shown)
    again = list(scenes(pictures, Pose(40), seed=3))
    assert all(np.array_equal(a.grey, b.grey) for a, b in zip(shown, again, strict=True))
    for face in shown[0].faces:
        assert 0 <= face.x <= WIDTH_PX - face.w
        assert 0 <= face.y <= HEIGHT_PX - face.h


def test_a_background_is_a_picture() -> None:
    made = background(np.random.default_rng(0))
    assert made.shape == (HEIGHT_PX, WIDTH_PX)
    assert 0 <= made.min() < made.max() <= 255
