"""Rows of faces with a name beside each, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE_PX = 96
GAP_PX = 4
FONT_PX = 14


def draw(rows: Mapping[str, NDArray[np.uint8]], target: Path) -> None:
    """``rows``: by name, pictures uint8 ``(K, H, H)``, equally many in each row; enlarged without
    smoothing, so that every pixel is seen as it is.

    Raises:
        ValueError: there are no rows, or they are not equally long.
    """
    if len({len(pictures) for pictures in rows.values()}) != 1:
        raise ValueError("rows of faces have to be equally long, and at least one")
    font = ImageFont.load_default(FONT_PX)
    names_px = round(max(font.getlength(name) for name in rows)) + 4 * GAP_PX
    pitch, longest = SIDE_PX + GAP_PX, max(len(pictures) for pictures in rows.values())
    sheet = Image.new("L", (names_px + pitch * longest, pitch * len(rows) + GAP_PX), 255)
    pen = ImageDraw.Draw(sheet)
    for place, (name, pictures) in enumerate(rows.items()):
        top = GAP_PX + pitch * place
        pen.text((2 * GAP_PX, top + SIDE_PX / 2), name, fill=0, font=font, anchor="lm")
        for column, picture in enumerate(pictures):
            large = Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
            sheet.paste(large, (names_px + pitch * column, top))
    sheet.save(target, "png", optimize=True)
