from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.vision.crop import Cropping
from splitfer.shared.vision.picture import to_grey
from training.data.datasets import DataError, Faces
from training.data.measure_crop import measure, relation


@pytest.mark.parametrize("box", [Box(150, 170, 120, 130), Box(100, 90, 200, 200)])
def test_the_relation_takes_a_box_to_the_whole_picture(box: Box) -> None:
    square = Cropping(*relation(box, Box(112, 100, 224, 224))).square(box)
    assert square == pytest.approx((112, 100, 224))


def faces(*pictures: NDArray[np.uint8]) -> Faces:
    n = len(pictures)
    return Faces(np.stack(pictures), np.zeros(n, np.int64), np.arange(n))


def test_a_photograph_is_measured(astronaut: NDArray[np.uint8]) -> None:
    face = Image.fromarray(to_grey(astronaut)[30:190, 145:305]).resize((48, 48))
    flat = np.full((48, 48), 128, np.uint8)
    result = measure(faces(np.asarray(face), flat))
    assert (result["n"], result["found"]) == (2, 1)
    assert 1 < result["scale"] < 2


def test_no_face_at_all() -> None:
    with pytest.raises(DataError, match="no face"):
        measure(faces(np.full((48, 48), 128, np.uint8)))
