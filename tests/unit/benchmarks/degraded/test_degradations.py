from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import face_rows
from benchmarks.degraded.degradations import (
    CLEAN,
    COVER_GREY,
    DEGRADATIONS,
    EYES_ROWS,
    MOUTH_ROWS,
    SEVERE,
    blurred,
    covered,
    darkened,
    flattened,
    jpeg,
    noisy,
    rolled,
    small,
)

RNG = np.random.default_rng(0)
# Smooth on a scale of some pixels, as faces are.
PICTURES = np.clip(
    128
    + 900 * blurred(RNG.integers(0, 256, (6, 48, 48), dtype=np.uint8), 3.0).astype(float) / 128
    - 900,
    0,
    255,
).astype(np.uint8)
POINT = np.zeros((1, 48, 48), np.uint8)
POINT[0, 24, 20] = 255


def spectrum_share(pictures: NDArray[np.uint8], above: float) -> float:
    """How much of the variance lies above a frequency in cycles a pixel."""
    power = np.abs(np.fft.fft2(pictures - pictures.mean(axis=(1, 2), keepdims=True))) ** 2
    radius = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.fftfreq(48)[None])
    return float(power[:, radius > above].sum() / power.sum())


@pytest.mark.parametrize("name", DEGRADATIONS | SEVERE)
def test_each_keeps_form_and_original_and_is_the_same_again(name: str) -> None:
    before = PICTURES.copy()
    degradation = (DEGRADATIONS | SEVERE)[name]
    made = degradation.apply(PICTURES)
    assert (made.shape, made.dtype) == (PICTURES.shape, np.uint8)
    np.testing.assert_array_equal(PICTURES, before)
    np.testing.assert_array_equal(made, degradation.apply(PICTURES))
    # What follows a picture does not matter to it, so that fewer faces measure the same.
    np.testing.assert_array_equal(made[:2], degradation.apply(PICTURES[:2]))
    assert (name == CLEAN) == np.array_equal(made, PICTURES)


def test_haze_keeps_the_middle_grey_and_its_share_of_the_contrast() -> None:
    grey = np.array([[[28, 128, 228]]], np.uint8)
    assert flattened(grey, 0.05).tolist() == [[[123, 128, 133]]]


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_blur_is_as_wide_as_it_says(sigma: float) -> None:
    spread = blurred(POINT, sigma)[0].astype(float)
    spread = np.where(spread >= 1, spread, 0)
    rows, columns = np.mgrid[:48, :48]
    for axis, middle in ((rows, 24), (columns, 20)):
        mean = (spread * axis).sum() / spread.sum()
        deviation = np.sqrt((spread * (axis - mean) ** 2).sum() / spread.sum())
        assert mean == pytest.approx(middle, abs=0.02)
        # Rounding to whole grey values cuts the tails off.
        assert deviation == pytest.approx(sigma, rel=0.15)
    flat = np.full((1, 48, 48), 77, np.uint8)
    np.testing.assert_array_equal(blurred(flat, sigma), flat)


def test_a_small_face_has_no_finer_detail_than_its_pixels() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    for side in (24, 20):
        finest = 0.5 * side / 48
        assert spectrum_share(noise, finest) > 0.6
        assert spectrum_share(small(noise, side), finest) < 0.2
    smooth = blurred(PICTURES, 3.0)
    assert np.abs(small(smooth, 24).astype(int) - smooth).mean() < 2


def test_roll_turns_about_the_centre_and_repeats_the_border() -> None:
    right_of_the_centre = np.zeros((1, 48, 48), np.uint8)
    right_of_the_centre[0, 22:26, 38:42] = 255
    turned = rolled(right_of_the_centre, 30.0)[0].astype(float)
    rows, columns = np.mgrid[:48, :48]
    down = (turned * (rows - 23.5)).sum() / turned.sum()
    across = (turned * (columns - 23.5)).sum() / turned.sum()
    angle = np.degrees(np.arctan2(-down, across))
    assert angle == pytest.approx(30, abs=2)
    assert np.hypot(down, across) == pytest.approx(16, abs=0.5)
    flat = np.full((1, 48, 48), 90, np.uint8)
    np.testing.assert_array_equal(rolled(flat, 30.0), flat)


@pytest.mark.parametrize("factor", [0.25, 0.1])
def test_less_light_is_a_share_of_the_mean_in_whole_numbers(factor: float) -> None:
    dark = darkened(PICTURES, factor)
    assert dark.mean() == pytest.approx(factor * PICTURES.mean(), abs=0.1)
    assert len(np.unique(dark)) <= 255 * factor + 2


@pytest.mark.parametrize("band", [MOUTH_ROWS, EYES_ROWS])
def test_what_is_covered_is_one_grey_and_the_rest_is_as_it_was(band: tuple[int, int]) -> None:
    made = covered(PICTURES, band)
    inside = np.zeros(48, np.bool_)
    inside[band[0] : band[1]] = True
    assert (made[:, inside] == COVER_GREY).all()
    np.testing.assert_array_equal(made[:, ~inside], PICTURES[:, ~inside])


def test_mouth_and_eyes_lie_where_they_are_covered() -> None:
    # Rows of mouth and eyes in the mean face of FER2013.
    assert MOUTH_ROWS[0] < 36 < 41 < MOUTH_ROWS[1] == 48
    assert EYES_ROWS[0] < 15 < 20 < EYES_ROWS[1] < MOUTH_ROWS[0]


def test_coarse_jpeg_is_worse_than_fine() -> None:
    off = [np.abs(jpeg(PICTURES, q).astype(int) - PICTURES).mean() for q in (10, 95)]
    assert off[0] > 3 * off[1] > 0


def test_noise_has_its_deviation_and_is_not_one_pattern() -> None:
    grey = np.full((3, 48, 48), 128, np.uint8)
    made = noisy(grey, 15.0).astype(float) - 128
    assert made.std() == pytest.approx(15, rel=0.03)
    assert made.mean() == pytest.approx(0, abs=0.5)
    assert np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1] == pytest.approx(0, abs=0.1)


def test_rows_of_faces_are_drawn(tmp_path: Path) -> None:
    target = tmp_path / "rows.png"
    face_rows.draw({"one": PICTURES[:3], "another name": PICTURES[3:]}, target)
    with Image.open(target) as image:
        width, height = image.size
    assert height == 2 * 100 + 4
    assert width > 3 * 100
    with pytest.raises(ValueError, match="equally long"):
        face_rows.draw({"one": PICTURES[:3], "two": PICTURES[:2]}, target)
    with pytest.raises(ValueError, match="at least one"):
        face_rows.draw({}, target)
