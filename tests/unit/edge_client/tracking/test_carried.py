from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from splitfer.edge_client.tracking.carried import CarriedDetector
from splitfer.shared.contracts import Box
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey


class PlayedDetector:
    """Finds squares of white on black, whole or in a window."""

    near_px = 140

    def __init__(self) -> None:
        self.whole = self.near = 0

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        if side_px is None:
            self.whole += 1
        else:
            self.near += 1
        found, rest = [], grey.copy()
        while rest.any():
            y, x = np.argwhere(rest)[0]
            w = int((rest[y] > 0)[x:].argmin() or rest.shape[1] - x)
            found.append(Box(int(x), int(y), w, w))
            rest[y : y + w, x : x + w] = 0
        return found


def frame(*squares: tuple[int, int]) -> NDArray[np.uint8]:
    grey = np.zeros((480, 640), np.uint8)
    for x, y in squares:
        grey[y : y + 80, x : x + 80] = 255
    return grey


def test_in_between_it_looks_about_the_faces_only() -> None:
    played = PlayedDetector()
    carried = CarriedDetector(played, every=5)
    for step in range(10):
        assert carried.detect(frame((100 + 5 * step, 200))) == [Box(100 + 5 * step, 200, 80, 80)]
    assert (played.whole, played.near) == (2, 8)


def test_a_face_that_is_lost_is_searched_everywhere_at_once() -> None:
    played = PlayedDetector()
    carried = CarriedDetector(played, every=100)
    carried.detect(frame((100, 200)))
    assert carried.detect(frame((500, 50))) == [Box(500, 50, 80, 80)]
    assert played.whole == 2


def test_two_faces_do_not_become_one() -> None:
    played = PlayedDetector()
    carried = CarriedDetector(played, every=100)
    carried.detect(frame((100, 200), (190, 200)))
    assert carried.detect(frame((130, 200))) == [Box(130, 200, 80, 80)]


def test_nobody_waits_longer_than_a_frame_to_be_found() -> None:
    played = PlayedDetector()
    carried = CarriedDetector(played, every=100)
    assert [carried.detect(frame()) for _ in range(4)] == [[], [], [], []]
    assert played.whole == 2
    found = [carried.detect(frame((10, 10))) for _ in range(2)]
    assert found[1] == [Box(10, 10, 80, 80)]


def test_a_frame_of_another_size_is_searched_whole() -> None:
    played = PlayedDetector()
    carried = CarriedDetector(played, every=100)
    carried.detect(frame((10, 10)))
    carried.detect(frame((10, 10))[:240])
    assert played.whole == 2


@pytest.mark.parametrize("every", [1, 4])
def test_dlibs_boxes_are_about_the_same_in_between(
    every: int, astronaut: NDArray[np.uint8]
) -> None:
    grey = to_grey(astronaut)
    carried = CarriedDetector(DlibDetector(SearchLimits(480, 40, 32)), every)
    whole = DlibDetector(SearchLimits(480, 40, 32))
    for shift in range(4):
        moved = np.roll(grey, 4 * shift, axis=1)
        box = carried.detect(moved)[0]  # the whole picture has a false one at times
        expected = min(whole.detect(moved), key=lambda one: abs(one.y - box.y))
        for one, other in zip(box.as_list(), expected.as_list(), strict=True):
            assert one == pytest.approx(other, abs=0.2 * expected.w)
