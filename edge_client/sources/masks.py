"""Parts of a camera's picture that nobody is to look at: gone before anything else sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from splitfer.edge_client.sources.frame import Frame

GREY = 96
"""What is put there."""

Shape = Sequence[tuple[float, float]]


class Masks:
    """Shapes in shares of a picture's width and height, from its upper left corner: two points are
    opposite corners of a rectangle, three and more a polygon. A pixel that a shape touches is
    covered."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = tuple(tuple(shape) for shape in shapes)
        self._covered = lru_cache(maxsize=4)(self._drawn)

    def put_on(self, frame: Frame) -> Frame:
        """The frame without what the shapes cover; the frame itself where there are none."""
        if not self._shapes:
            return frame
        rgb = frame.rgb.copy()
        rgb[self._covered(*rgb.shape[:2])] = GREY
        return replace(frame, rgb=rgb)

    def _drawn(self, height: int, width: int) -> NDArray[np.bool_]:
        picture = Image.new("1", (width, height))
        draw = ImageDraw.Draw(picture)
        for shape in self._shapes:
            points = [(x * width, y * height) for x, y in shape]
            if len(points) == 2:
                (x0, y0), (x1, y1) = points
                points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
            draw.polygon(points, fill=1, outline=1)
        return np.asarray(picture)
