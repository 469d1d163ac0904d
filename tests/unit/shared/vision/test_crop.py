from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.vision.crop import Cropping, crop_face, enlarge_crop
from splitfer.shared.vision.picture import to_grey

AS_IS = Cropping(scale=1.0, shift_x=0.0, shift_y=0.0)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR))


def test_the_square_around_a_box() -> None:
    cropping = Cropping(scale=1.5, shift_x=0.25, shift_y=-0.1)
    left, top, side = cropping.square(Box(100, 200, 90, 110))  # mean side 100, centre 145, 255
    assert side == pytest.approx(150)
    assert left == pytest.approx(145 + 25 - 75)
    assert top == pytest.approx(255 - 10 - 75)


def test_a_48_px_picture_goes_to_the_enlargement_unchanged() -> None:
    picture = noise(48, 48)
    np.testing.assert_array_equal(enlarge_crop(picture), enlarged(picture))


def test_a_box_of_48_px_is_that_picture() -> None:
    frame = noise(120, 160)
    crop = crop_face(frame, Box(30, 20, 48, 48), AS_IS)
    assert (crop.dtype, crop.shape) == (np.uint8, (224, 224))
    np.testing.assert_array_equal(crop, enlarged(frame[20:68, 30:78]))


@pytest.mark.parametrize(
    ("cropping", "detail", "filter_"),
    [
        (AS_IS, 48, Image.Resampling.BICUBIC),
        (replace(AS_IS, detail_px=56, reduce="lanczos"), 56, Image.Resampling.LANCZOS),
    ],
)
def test_a_larger_box_is_reduced_to_the_detail(
    cropping: Cropping, detail: int, filter_: Image.Resampling
) -> None:
    picture = noise(200, 200)
    small = np.asarray(Image.fromarray(picture).resize((detail, detail), filter_))
    frame = np.pad(picture, 10)
    np.testing.assert_array_equal(
        crop_face(frame, Box(10, 10, 200, 200), cropping), enlarged(small)
    )


@pytest.mark.parametrize(("dx", "dy"), [(-24, 0), (0, -24), (112, 0), (0, 72), (-24, -24)])
def test_over_the_border_its_pixels_are_repeated(dx: int, dy: int) -> None:
    frame = noise(96, 136)
    crop = crop_face(frame, Box(dx, dy, 48, 48), AS_IS)
    padded = np.pad(frame, 60, mode="edge")
    np.testing.assert_array_equal(crop, enlarged(padded[60 + dy : 108 + dy, 60 + dx : 108 + dx]))


def test_a_box_wholly_outside_repeats_the_corner() -> None:
    frame = noise(60, 60)
    assert np.ptp(crop_face(frame, Box(-500, -500, 100, 100), AS_IS)) == 0


def test_scale_and_shift_move_what_is_seen() -> None:
    frame = noise(300, 300)
    moved = Cropping(scale=1.0, shift_x=0.5, shift_y=-0.25)
    np.testing.assert_array_equal(
        crop_face(frame, Box(100, 100, 48, 48), moved),
        crop_face(frame, Box(124, 88, 48, 48), AS_IS),
    )
    twice = Cropping(scale=2.0, shift_x=0.0, shift_y=0.0)
    np.testing.assert_array_equal(
        crop_face(frame, Box(124, 124, 48, 48), twice),
        crop_face(frame, Box(100, 100, 96, 96), AS_IS),
    )


def test_a_fraction_of_a_pixel_counts() -> None:
    frame = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (100, 1))
    half = Cropping(scale=1.0, shift_x=0.5 / 48, shift_y=0.0)
    here = crop_face(frame, Box(20, 20, 48, 48), AS_IS).astype(int)
    there = crop_face(frame, Box(20, 20, 48, 48), half).astype(int)
    assert 0.5 < (there - here).mean() < 1.5


def test_grey_is_itu_r_601() -> None:
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], dtype=np.uint8)
    assert to_grey(rgb).tolist() == [[76, 150, 29, 9]]
