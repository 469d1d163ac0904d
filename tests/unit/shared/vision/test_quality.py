from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.vision.crop import Cropping, crop_face
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.vision.quality import SCALE, measures, quality, quality_parts, scores

CROPPING = Cropping(1.18, 0.0, -0.075, 56, "lanczos")
FACE = Box(181, 79, 93, 93)
SIDE_PX = CROPPING.square(FACE)[2]


@pytest.fixture(scope="module")
def grey(astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return to_grey(astronaut)


def crop(frame: NDArray[np.uint8], box: Box = FACE) -> NDArray[np.uint8]:
    return crop_face(frame, box, CROPPING)


def reduced(frame: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], Box]:
    size = tuple(round(side * factor) for side in frame.shape[::-1])
    small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    return small, Box(*(round(v * factor) for v in (FACE.x, FACE.y, FACE.w, FACE.h)))


def test_a_good_picture_has_full_marks(grey: NDArray[np.uint8]) -> None:
    found = quality(crop(grey), SIDE_PX)
    assert found.score > 0.95
    assert dataclasses.asdict(found) == {
        "score": found.score,
        "size": 1.0,
        "sharpness": found.sharpness,
        "brightness": 1.0,
        "contrast": 1.0,
    }


def test_the_score_is_the_worst_part(grey: NDArray[np.uint8]) -> None:
    for picture, side in ((grey, 12.0), (grey // 64, SIDE_PX), (grey // 150 + 120, SIDE_PX)):
        parts = dataclasses.asdict(quality(crop(picture), side))
        score = parts.pop("score")
        assert score == min(parts.values()) < 0.8


def test_a_dark_picture_is_called_dark_and_a_flat_one_flat(grey: NDArray[np.uint8]) -> None:
    dim = quality(crop((grey * 0.1).astype(np.uint8)), SIDE_PX)
    assert dim.score > 0.95, "crops are standardised: a tenth of the light is enough"
    dark = quality(crop((grey * 0.015).astype(np.uint8)), SIDE_PX)
    assert dark.score <= min(dark.brightness, dark.contrast) < 0.8
    hazy = quality(crop(grey // 150 + 120), SIDE_PX)
    assert hazy.score <= hazy.contrast < 0.8
    assert hazy.brightness == 1
    nothing = quality(np.full((224, 224), 128, np.uint8), SIDE_PX)
    assert nothing.score == nothing.contrast == nothing.sharpness == 0


def test_less_light_does_not_change_the_sharpness(grey: NDArray[np.uint8]) -> None:
    full, half = measures(crop(grey)), measures(crop(grey // 2))
    assert half[0] == pytest.approx(full[0], rel=0.05)
    assert half[1:] == pytest.approx(full[1:] / 2, rel=0.02)


def test_the_softer_the_picture_the_lower_its_sharpness(grey: NDArray[np.uint8]) -> None:
    found = []
    for factor in (1.0, 0.35, 0.2, 0.12):
        # A large face that was small once: its size says nothing.
        small, _ = reduced(grey, factor)
        large = Image.fromarray(small).resize(grey.shape[::-1], Image.Resampling.BILINEAR)
        found.append(quality(crop(np.asarray(large)), SIDE_PX))
    sharpness = [measured.sharpness for measured in found]
    assert sharpness[1:] == sorted(sharpness[1:], reverse=True)
    assert sharpness[0] > 0.95 > 0.9 > sharpness[-1]
    assert all(measured.size == 1 for measured in found)


def test_strong_noise_is_no_detail(grey: NDArray[np.uint8]) -> None:
    small, box = reduced(grey, 0.4)
    noise = np.random.default_rng(0).normal(0, 60, small.shape)
    noisy = np.clip(small + noise, 0, 255).astype(np.uint8)
    assert quality(crop(noisy, box), 44).sharpness < quality(crop(small, box), 44).sharpness - 0.1


def test_the_smaller_the_face_the_lower_its_size(grey: NDArray[np.uint8]) -> None:
    found = [quality(crop(grey), side).size for side in (1, 10, 20, 24, 48, 400)]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-2:] == [1, 1]
    assert found[2] < 0.95
    assert found[2] < found[3] < 1


def test_the_parts_of_many_are_those_of_each(grey: NDArray[np.uint8]) -> None:
    crops = [crop(grey), crop(grey // 6), crop((grey // 30 + 100).astype(np.uint8))]
    sides = np.array([109.0, 20.0, 30.0])
    together = quality_parts(np.stack([measures(one) for one in crops]), sides)
    for place, one in enumerate(crops):
        found = quality(one, sides[place])
        parts = (found.size, found.sharpness, found.brightness, found.contrast)
        assert tuple(together[:, place]) == parts


def test_every_part_rises_from_nothing_to_one() -> None:
    for low, high in dataclasses.astuple(SCALE):
        assert 0 < low < high


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"224x224, not \(48, 48\)"):
        quality(np.zeros((48, 48), np.uint8), 48)


def test_scores_of_a_frames_faces_are_those_of_their_squares(grey: NDArray[np.uint8]) -> None:
    small, box = reduced(grey, 0.1)
    faces = [(crop(grey), FACE), (crop(small, box), box)]
    sharp, smear = scores((one for one, _ in faces), (box for _, box in faces), CROPPING)
    assert sharp == quality(crop(grey), SIDE_PX).score
    assert smear == quality(crop(small, box), CROPPING.square(box)[2]).score < 0.8
    assert scores([], [], CROPPING) == ()
