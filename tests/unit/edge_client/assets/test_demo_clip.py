from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from splitfer.edge_client.sources.open import open_source
from splitfer.shared.contracts import Limits
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey

pytest.importorskip("skimage", reason="the clip is drawn from a photograph of scikit-image")

from splitfer.edge_client.assets import make_demo
from splitfer.edge_client.assets.make_demo import PHASES, SIZE


@pytest.fixture(scope="module")
def faces_at() -> dict[float, int]:
    """Faces found in every third frame of the bundled clip, by its time in seconds."""
    limits = Limits()
    detector = DlibDetector(SearchLimits(480, limits.smallest_face_px, limits.faces_per_frame))
    with open_source("demo") as clip:
        return {
            frame.time_s: len(detector.detect(to_grey(frame.rgb)))
            for frame in clip
            if frame.index % 3 == 0
        }


@pytest.mark.parametrize(("from_s", "to_s", "faces"), PHASES)
def test_the_clip_has_the_faces_it_promises(
    faces_at: dict[float, int], from_s: float, to_s: float, faces: int
) -> None:
    found = [count for time_s, count in faces_at.items() if from_s <= time_s < to_s]
    assert found
    assert set(found) == {faces}


def test_the_bundled_clip_is_what_the_script_draws() -> None:
    photograph = make_demo.astronaut()  # type: ignore[no-untyped-call]  # it publishes no types
    margin = make_demo._MARGIN
    around = ((margin, margin), (margin, margin), (0, 0))
    stage = Image.fromarray(np.pad(photograph, around, mode="reflect"))
    visitor, cutout = make_demo._visitor(photograph)
    with open_source("demo") as clip:
        for frame in clip:
            if frame.index in (0, 50, 100):
                drawn = np.asarray(make_demo.draw(stage, visitor, cutout, frame.time_s), float)
                assert drawn.shape == (SIZE[1], SIZE[0], 3)
                assert float(np.abs(drawn - frame.rgb).mean()) < 6
