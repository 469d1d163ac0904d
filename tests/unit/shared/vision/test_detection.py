from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import MODEL, DlibDetector
from splitfer.shared.vision.picture import to_grey


@pytest.fixture(scope="module")
def grey(astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return to_grey(astronaut)


def test_the_packed_detector_is_that_of_the_installed_dlib(tmp_path: Path) -> None:
    dlib.get_frontal_face_detector().save(str(tmp_path / "frontal.svm"))
    assert (tmp_path / "frontal.svm").read_bytes() == MODEL.read_bytes()


@pytest.mark.parametrize("enlarged", [1, 2, 3])
def test_the_face_is_found_in_the_frames_own_pixels(grey: NDArray[np.uint8], enlarged: int) -> None:
    size = (512 * enlarged, 512 * enlarged)
    boxes = DlibDetector(SearchLimits(512, 40, 32)).detect(
        np.asarray(Image.fromarray(grey).resize(size))
    )
    assert len(boxes) == 1
    box = boxes[0]
    # Her face lies around (224, 110) and is about 100 px wide.
    assert abs((box.x + box.w / 2) / enlarged - 224) < 20
    assert abs((box.y + box.h / 2) / enlarged - 110) < 25
    assert 70 < box.w / enlarged < 150


def test_a_frame_that_is_not_contiguous(grey: NDArray[np.uint8]) -> None:
    mirrored = DlibDetector(SearchLimits(512, 40, 32)).detect(grey[:, ::-1])
    assert len(mirrored) == 1
    assert abs(mirrored[0].x + mirrored[0].w / 2 - (512 - 224)) < 20


def test_small_faces_are_dropped(grey: NDArray[np.uint8]) -> None:
    assert DlibDetector(SearchLimits(512, 200, 32)).detect(grey) == []


def test_the_largest_come_first_and_the_rest_is_cut(grey: NDArray[np.uint8]) -> None:
    face = Image.fromarray(grey[20:220, 120:320])
    frame = np.full((420, 700), 128, np.uint8)
    frame[10:210, 10:210] = np.asarray(face)
    frame[10:410, 250:650] = np.asarray(face.resize((400, 400)))
    both = DlibDetector(SearchLimits(10_000, 40, 32)).detect(frame)
    assert len(both) == 2
    assert both[0].w > both[1].w
    assert both[0].x > 250 > both[1].x
    assert DlibDetector(SearchLimits(10_000, 40, 1)).detect(frame) == both[:1]


@pytest.mark.parametrize("shape", [(480, 640), (3, 2000), (1, 1)])
def test_no_face_in_a_flat_picture(shape: tuple[int, int]) -> None:
    assert DlibDetector(SearchLimits(480, 40, 32)).detect(np.full(shape, 128, np.uint8)) == []
