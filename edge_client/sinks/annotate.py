"""Answers drawn onto a picture: a box and a word for each face, a strip of small print below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import AnswerPath, FaceAnswer

PATH_COLOURS: dict[AnswerPath, tuple[int, int, int]] = {
    AnswerPath.CLOUD: (64, 170, 255),
    AnswerPath.LOCAL: (255, 176, 32),
    AnswerPath.IMAGE: (96, 214, 120),
}
"""Told apart by people who do not tell red from green, too."""

_INK = (16, 18, 22)
_PAPER = (240, 242, 245)
_BACKDROP = (24, 26, 31)
# Of an uncertain answer: how much of its colour gives way to paper.
_PALER = 0.6


@dataclass(frozen=True)
class Canvas:
    """The measures of an annotated picture: ``width_px`` by ``picture_px + strip_px``, all even,
    as H.264 wants them."""

    width_px: int
    picture_px: int
    text_px: int

    @classmethod
    def for_picture(cls, rgb: NDArray[np.uint8], longest_px: int) -> Canvas:
        """As large as the picture uint8 ``(H, W, 3)``, but no longer than ``longest_px``."""
        height, width = rgb.shape[:2]
        ratio = min(1.0, longest_px / max(height, width))
        width_px, height_px = (max(2, round(side * ratio / 2) * 2) for side in (width, height))
        return cls(width_px, height_px, text_px=max(11, min(width_px, height_px) // 30))

    @property
    def strip_px(self) -> int:
        """Height of the strip below the picture."""
        return (self.text_px * 2 + 1) // 2 * 2

    @property
    def height_px(self) -> int:
        """Height of picture and strip."""
        return self.picture_px + self.strip_px


def annotate(frame: Frame, faces: Sequence[FaceAnswer], canvas: Canvas) -> NDArray[np.uint8]:
    """The frame with its answers: RGB uint8 ``(canvas.height_px, canvas.width_px, 3)``.

    A frame of another shape than the canvas is fitted into it, with bars beside it.
    """
    image = Image.new("RGB", (canvas.width_px, canvas.height_px), _BACKDROP)
    height, width = frame.rgb.shape[:2]
    scale = min(canvas.width_px / width, canvas.picture_px / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (canvas.width_px - size[0]) // 2, (canvas.picture_px - size[1]) // 2
    picture = Image.fromarray(frame.rgb)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    image.paste(picture, (left, top))
    draw = ImageDraw.Draw(image)
    for face in faces:
        _draw_face(draw, face, scale, left, top, canvas)
    _draw_strip(draw, frame, faces, canvas)
    return np.asarray(image)


def headline(face: FaceAnswer) -> str:
    """What is written on a face's box: ``happy 93%``, or ``happy? 41%`` where it is uncertain; of a
    face that is followed its number and what it showed lately, ``3: happy 88%``."""
    shown = face.shown
    number = "" if face.smoothed is None else f"{face.track}: "
    return f"{number}{shown.label}{'?' if shown.uncertain else ''} {100 * shown.confidence:.0f}%"


def small_print(faces: Sequence[FaceAnswer]) -> list[tuple[str, AnswerPath | None]]:
    """The words of the strip, each with the path whose colour it takes: ``2 local: deadline``."""
    if not faces:
        return [("no face", None)]
    kinds = Counter((face.path, face.reason) for face in faces)
    return [
        ((f"{count} " if len(faces) > 1 else "") + (f"{path}: {reason}" if reason else path), path)
        for (path, reason), count in kinds.items()
    ]


def _draw_face(
    draw: ImageDraw.ImageDraw,
    face: FaceAnswer,
    scale: float,
    left: int,
    top: int,
    canvas: Canvas,
) -> None:
    colour = PATH_COLOURS[face.path]
    if face.shown.uncertain:
        colour = _paler(colour)
    x0, y0 = left + face.box.x * scale, top + face.box.y * scale
    x1, y1 = x0 + max(1.0, face.box.w * scale), y0 + max(1.0, face.box.h * scale)
    line_px = max(2, canvas.text_px // 7)
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=line_px)
    text, font = headline(face), _font(canvas.text_px)
    pad = canvas.text_px // 4
    text_width = draw.textlength(text, font=font)
    tag_height = canvas.text_px + 2 * pad
    # Above the box, but inside the picture: a face at the border keeps its word.
    tag_x = min(max(x0, 0), max(0, canvas.width_px - text_width - 2 * pad))
    tag_y = min(max(y0 - tag_height, 0), canvas.picture_px - tag_height)
    draw.rectangle((tag_x, tag_y, tag_x + text_width + 2 * pad, tag_y + tag_height), fill=colour)
    middle = tag_y + tag_height / 2
    draw.text((tag_x + pad, middle), text, fill=_INK, font=font, anchor="lm")


def _paler(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (
        round(own + _PALER * (paper - own)) for own, paper in zip(colour, _PAPER, strict=True)
    )
    return red, green, blue


def _draw_strip(
    draw: ImageDraw.ImageDraw, frame: Frame, faces: Sequence[FaceAnswer], canvas: Canvas
) -> None:
    font, gap = _font(canvas.text_px), canvas.text_px * 0.7
    middle = canvas.picture_px + canvas.strip_px / 2
    draw.rectangle((0, canvas.picture_px, canvas.width_px, canvas.height_px), fill=_BACKDROP)
    x = gap
    clock = f"{frame.time_s:.2f} s"
    draw.text((x, middle), clock, fill=_PAPER, font=font, anchor="lm")
    # Room for a clock of six places, so that the words after it stand still.
    x += max(draw.textlength("000.00 s", font=font), draw.textlength(clock, font=font)) + gap
    for text, path in small_print(faces):
        if path is not None:
            side = canvas.text_px * 0.7
            square = (x, middle - side / 2, x + side, middle + side / 2)
            draw.rectangle(square, fill=PATH_COLOURS[path])
            x += side + gap / 2
        draw.text((x, middle), text, fill=_PAPER, font=font, anchor="lm")
        x += draw.textlength(text, font=font) + gap * 1.5


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface: a device need not have any installed."""
    return ImageFont.load_default(size=size_px)
