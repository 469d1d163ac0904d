"""Faces that nobody shall recognise, in every picture that is kept or shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client.sinks.sink import Sink
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import Box, FaceAnswer

CELLS = 6
"""What is left of a face: so many squares across."""

_MARGIN = 0.25


class Blurred:
    """A sink before ``sink``, which gets the frames with their faces made unrecognisable."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool | None:
        """Pass one frame on, faces blurred."""
        if faces and frame.rgb.size:
            frame = replace(frame, rgb=blurred(frame.rgb, [face.box for face in faces]))
        return self._sink.write(frame, faces)

    def close(self) -> None:
        """Close the sink behind it."""
        self._sink.close()


def blurred(rgb: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """A copy of RGB uint8 ``(H, W, 3)`` in which each box, and a margin around it, is ``CELLS``
    squares across."""
    copy = rgb.copy()
    height, width = rgb.shape[:2]
    for box in boxes:
        dx, dy = round(_MARGIN * box.w), round(_MARGIN * box.h)
        left, top = max(0, box.x - dx), max(0, box.y - dy)
        right, bottom = min(width, box.x + box.w + dx), min(height, box.y + box.h + dy)
        if left >= right or top >= bottom:
            continue
        part = Image.fromarray(rgb[top:bottom, left:right])
        few = part.resize((CELLS, CELLS), Image.Resampling.BOX)
        copy[top:bottom, left:right] = np.asarray(few.resize(part.size, Image.Resampling.NEAREST))
    return copy
