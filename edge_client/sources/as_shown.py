"""A decoded picture as players show it: its pixels square, turned and mirrored as the file says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from splitfer.edge_client.sources.decoder import MOST_PIXELS

# Beyond these a header is damaged; anamorphic film has 2:1.
_LEAST_ASPECT, _MOST_ASPECT = Fraction(1, 4), Fraction(4)
_MATRIX_BYTES = 9 * 4


def as_shown(frame: VideoFrame, aspect: Fraction | None) -> NDArray[np.uint8]:
    """RGB uint8 ``(H, W, 3)`` in one piece of memory; ``aspect`` is the width of a pixel over its
    height, None where the file does not say."""
    width = frame.width
    if aspect and aspect != 1 and _LEAST_ASPECT <= aspect <= _MOST_ASPECT:
        width = max(1, min(round(width * aspect), MOST_PIXELS // frame.height))
    # FFmpeg's lines have a gap behind each, but for widths of whole 16.
    rgb = np.ascontiguousarray(frame.to_ndarray(format="rgb24", width=width), dtype=np.uint8)
    # Not frame.side_data: the frame would hold what holds the frame, and both would stay until
    # Python's collector comes by.
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # the stub lacks it
    return _placed(rgb, bytes(matrix)) if isinstance(matrix, SideData) else rgb


def _placed(rgb: NDArray[np.uint8], matrix: bytes) -> NDArray[np.uint8]:
    """By FFmpeg's display matrix: nine int32, of which the first two of each row map a picture's
    x and y. Angles between are taken to the nearest quarter turn."""
    if len(matrix) < _MATRIX_BYTES:
        return rgb
    values = np.frombuffer(matrix, np.int32, count=9)
    x_to_x, x_to_y, y_to_x, y_to_y = (int(values[place]) for place in (0, 1, 3, 4))
    across, down = x_to_x, y_to_y
    if abs(x_to_y) > abs(x_to_x):
        rgb = rgb.transpose(1, 0, 2)
        across, down = y_to_x, x_to_y
    if across < 0:
        rgb = rgb[:, ::-1]
    if down < 0:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
