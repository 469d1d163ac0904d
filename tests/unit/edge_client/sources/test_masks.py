"""Parts of a picture that nobody sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.config import load_config
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.masks import GREY, Masks
from splitfer.shared.errors import ConfigError

shares = st.floats(0, 1)


def white(width: int, height: int) -> Frame:
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb.flags.writeable = False
    return Frame("door", 3, 0.3, rgb, 1.0)


@given(shares, shares, shares, shares, st.integers(1, 90), st.integers(1, 90))
def test_a_rectangle_covers_what_is_in_it_and_nothing_beside(
    x0: float, y0: float, x1: float, y1: float, width: int, height: int
) -> None:
    rgb = Masks([[(x0, y0), (x1, y1)]]).put_on(white(width, height)).rgb
    rows, columns = np.indices((height, width))
    left, right = sorted((x0 * width, x1 * width))
    top, bottom = sorted((y0 * height, y1 * height))
    inside = (columns >= left) & (columns + 1 <= right) & (rows >= top) & (rows + 1 <= bottom)
    beside = (columns > right + 1) | (columns + 1 < left - 1)
    beside |= (rows > bottom + 1) | (rows + 1 < top - 1)
    assert (rgb[inside] == GREY).all()
    assert (rgb[beside] == 255).all()


def test_a_polygon_and_what_it_leaves() -> None:
    frame = white(100, 50)
    masked = Masks([[(0, 0), (1, 0), (0, 1)]]).put_on(frame)
    assert (masked.rgb[10, 10] == GREY).all()
    assert (masked.rgb[45, 90] == 255).all()
    assert (frame.rgb == 255).all()
    assert (masked.index, masked.time_s, masked.decoded_s) == (3, 0.3, 1.0)


def test_a_stream_may_change_its_size() -> None:
    masks = Masks([[(0, 0), (0.5, 1)]])
    for width, height in ((100, 50), (40, 80), (100, 50)):
        rgb = masks.put_on(white(width, height)).rgb
        assert (rgb[:, : width // 2] == GREY).all()
        assert (rgb[:, width // 2 + 2 :] == 255).all()


def test_without_shapes_nothing_is_copied() -> None:
    frame = white(10, 10)
    assert Masks([]).put_on(frame) is frame


@pytest.mark.parametrize("masks", [[[[0, 0]]], [[[0, 0], [2, 1]]], [[[0, 0, 0], [1, 1, 1]]], [7]])
def test_shapes_that_are_none_are_refused(masks: object) -> None:
    with pytest.raises(ConfigError, match="masks"):
        load_config(None, {"masks": masks})
