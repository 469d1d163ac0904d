"""A 640x480 frame with a face, to measure on: one of the bundled clip."""

from __future__ import annotations

from importlib.resources import as_file, files
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import Limits
from splitfer.shared.errors import SourceError
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey

CLIP = "demo.mp4"
# The clip need not begin with a face; not every frame has to be looked at to find one.
EVERY = 15


def face_frame() -> tuple[NDArray[np.uint8], str]:
    """RGB uint8 ``(480, 640, 3)`` and what it is.

    Raises:
        SourceError: there is neither a clip nor scikit-image to make a frame from.
    """
    clip = files("splitfer.edge_client.assets") / CLIP
    if clip.is_file() and find_spec("av"):
        with as_file(clip) as path:
            found = _first_face(str(path))
        if found is not None:
            return found
    if find_spec("skimage"):
        import skimage.data

        photograph = skimage.data.astronaut()  # type: ignore[no-untyped-call]  # no types there
        frame = np.full((480, 640, 3), 128, np.uint8)
        frame[:, 64:576] = photograph[:480]
        return frame, "640x480 frame with a photograph"
    raise SourceError(f"no frame with a face: {CLIP} is not readable, nor is scikit-image there")


def _first_face(path: str) -> tuple[NDArray[np.uint8], str] | None:
    import av

    limits = Limits()
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % EVERY:
                continue
            rgb = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
            detector = DlibDetector(SearchLimits(max(rgb.shape), limits.smallest_face_px, 1))
            if detector.detect(to_grey(rgb)):
                size = f"{rgb.shape[1]}x{rgb.shape[0]}"
                return rgb, f"{size} frame, number {index} of {CLIP}"
    return None
