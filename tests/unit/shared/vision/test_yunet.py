from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box
from splitfer.shared.detectors import DetectorName
from splitfer.shared.vision.detection import FaceDetector, SearchLimits, open_detector
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.vision.yunet import OVERLAP_PX, TILE_PX, YunetDetector, best_of


@pytest.fixture(scope="module")
def face(astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A face and what is about it, grey uint8 ``(200, 200)``: her box is about 100 px."""
    return to_grey(astronaut)[20:220, 124:324]


def shrunk(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def laid(frame: NDArray[np.uint8], picture: NDArray[np.uint8], x: int, y: int) -> None:
    frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture


def middle(box: Box) -> tuple[float, float]:
    return box.x + box.w / 2, box.y + box.h / 2


def test_boxes_are_where_dlibs_are(astronaut: NDArray[np.uint8]) -> None:
    grey, limits = to_grey(astronaut), SearchLimits(512, 24, 32)
    (one,), (other,) = YunetDetector(limits).detect(grey), DlibDetector(limits).detect(grey)
    assert middle(one) == pytest.approx(middle(other), abs=0.12 * other.w)
    assert one.w == one.h == pytest.approx(other.w, rel=0.12)


@pytest.mark.parametrize("degrees", [45, 60, 75])
def test_a_face_that_dlib_does_not_find_is_found(face: NDArray[np.uint8], degrees: int) -> None:
    turned = np.asarray(Image.fromarray(face).rotate(degrees, Image.Resampling.BICUBIC))
    limits = SearchLimits(480, 24, 32)
    assert DlibDetector(limits).detect(turned) == []
    (box,) = YunetDetector(limits).detect(turned)
    assert middle(box) == pytest.approx((100, 95), abs=25)


def test_a_face_of_24_px_is_found_in_a_frame(astronaut: NDArray[np.uint8]) -> None:
    frame = np.full((360, 480), 110, np.uint8)
    laid(frame, shrunk(to_grey(astronaut), 128), 300, 200)
    (box,) = YunetDetector(SearchLimits(480, 20, 32)).detect(frame)
    assert middle(box) == pytest.approx((300 + 224 / 4, 200 + 110 / 4), abs=5)
    assert box.w == pytest.approx(24, abs=4)
    assert YunetDetector(SearchLimits(480, 40, 32)).detect(frame) == []


@pytest.mark.parametrize("x", [0, TILE_PX - OVERLAP_PX, TILE_PX - 100, TILE_PX + 500])
def test_a_face_anywhere_in_a_large_picture_is_found_once(face: NDArray[np.uint8], x: int) -> None:
    frame = np.full((1200, 2000), 110, np.uint8)
    laid(frame, face, x, 900)
    (box,) = YunetDetector(SearchLimits(4096, 24, 32)).detect(frame)
    assert middle(box) == pytest.approx((x + 100, 995), abs=25)


def test_a_face_as_large_as_a_large_picture_is_found_once(face: NDArray[np.uint8]) -> None:
    large = np.asarray(Image.fromarray(face).resize((2400, 2400)))
    (box,) = YunetDetector(SearchLimits(4096, 24, 32)).detect(large)
    assert middle(box) == pytest.approx((1200, 1140), abs=300)
    assert 900 < box.w < 1500


@pytest.mark.parametrize("name", list(DetectorName))
def test_the_largest_come_first_and_the_rest_is_cut(
    name: DetectorName, face: NDArray[np.uint8]
) -> None:
    frame = np.full((420, 700), 128, np.uint8)
    laid(frame, face, 10, 10)
    laid(frame, np.asarray(Image.fromarray(face).resize((400, 400))), 250, 10)
    both = open_detector(name, SearchLimits(10_000, 40, 32)).detect(frame)
    assert len(both) == 2
    assert both[0].w > both[1].w
    assert both[0].x > 250 > both[1].x
    assert open_detector(name, SearchLimits(10_000, 40, 1)).detect(frame) == both[:1]


@pytest.mark.parametrize("name", list(DetectorName))
@pytest.mark.parametrize("shape", [(480, 640), (3, 2000), (1, 1)])
def test_no_face_in_a_flat_picture(name: DetectorName, shape: tuple[int, int]) -> None:
    detector: FaceDetector = open_detector(name, SearchLimits(480, 1, 32))
    assert detector.detect(np.full(shape, 128, np.uint8)) == []


@settings(max_examples=25, deadline=None)
@given(data=st.data(), height=st.integers(1, 90), width=st.integers(1, 90))
def test_any_picture_is_searched(data: st.DataObject, height: int, width: int) -> None:
    grey = data.draw(arrays(np.uint8, (height, width)))
    for box in DETECTOR.detect(grey):
        assert box.w == box.h > 0


DETECTOR = YunetDetector(SearchLimits(480, 1, 32, enlarged=True))


corner = st.floats(-50, 50, width=32)
side = st.floats(1, 60, width=32)


@given(st.lists(st.tuples(st.floats(0.5, 1, width=32), corner, corner, side, side), max_size=30))
def test_of_every_face_the_best_box_is_left(rows: list[tuple[float, ...]]) -> None:
    boxes = np.array([(s, x, y, x + w, y + h) for s, x, y, w, h in rows], np.float32)
    boxes = boxes.reshape(-1, 5)
    best = best_of(boxes)
    assert list(best[:, 0]) == sorted(best[:, 0], reverse=True)
    for i, one in enumerate(best):
        assert all(shared(one, other) <= 0.3 + 1e-6 for other in best[:i])
    for one in boxes:  # what is left out has a better one over it
        assert any(
            other[0] >= one[0] and (shared(one, other) > 0.3 - 1e-6 or (other == one).all())
            for other in best
        )


def shared(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union, in plain words."""
    across = min(one[3], other[3]) - max(one[1], other[1])
    down = min(one[4], other[4]) - max(one[2], other[2])
    both = max(0.0, float(across)) * max(0.0, float(down))
    areas = [float((box[3] - box[1]) * (box[4] - box[2])) for box in (one, other)]
    return both / (sum(areas) - both)


def test_dlib_is_not_loaded_for_it() -> None:
    program = (
        "import sys\n"
        "from splitfer.shared.detectors import DetectorName\n"
        "from splitfer.shared.vision.detection import SearchLimits, open_detector\n"
        "open_detector(DetectorName.YUNET, SearchLimits(480, 24, 32))\n"
        "assert 'dlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
