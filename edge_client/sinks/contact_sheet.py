"""One picture of a whole run: a few frames of it, evenly spread, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from splitfer.edge_client.sinks.annotate import Canvas, annotate
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import AnswerPath, FaceAnswer, Reason
from splitfer.shared.errors import ConfigError
from splitfer.shared.whole_file import write_whole

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pillow's name by the file's ending."""

COLUMNS = 4
TILES = 16
TILE_PX = 360
_GAP_PX = 6
_QUALITY = 90
_PAPER = (255, 255, 255)

Kind = tuple[AnswerPath, Reason | None]


@dataclass(frozen=True)
class _Kept:
    """A frame shrunk to a tile, what it was shrunk by, and its answers; drawn at the end."""

    place: int
    frame: Frame
    canvas: Canvas
    faces: tuple[FaceAnswer, ...]

    @property
    def kinds(self) -> set[Kind]:
        return {(face.path, face.reason) for face in self.faces}


class ContactSheet:
    """Keeps up to ``2 * tiles`` frames, however long the run, and writes a picture of ``tiles``.

    Every ``(path, reason)`` that occurred is shown as far as there is room; the other tiles are
    spread evenly over the run. Nothing is drawn or written before ``close``. The file's ending is
    one of ``FORMATS``. With ``replace`` it takes the place of a file of that name.

    Raises:
        ConfigError: there is no format of that ending.
    """

    def __init__(self, path: Path | str, tiles: int = TILES, replace: bool = False) -> None:
        self._path = Path(path)
        self._replace = replace
        if self._path.suffix.lower() not in FORMATS:
            raise ConfigError(f"--contact-sheet {path}: the ending is one of {', '.join(FORMATS)}")
        self._format = FORMATS[self._path.suffix.lower()]
        self._tiles = tiles
        self._stride = 1
        self._seen = 0
        self._spread: list[_Kept] = []
        self._first: dict[Kind, _Kept] = {}
        self._closed = False

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Look at one frame; few are kept."""
        place, self._seen = self._seen, self._seen + 1
        spread = place % self._stride == 0
        new = {(face.path, face.reason) for face in faces} - self._first.keys()
        if not spread and not new:
            return
        kept = _keep(place, frame, faces)
        self._first.update(dict.fromkeys(new, kept))
        if spread:
            self._spread.append(kept)
        if len(self._spread) > 2 * self._tiles:
            self._stride *= 2
            self._spread = [kept for kept in self._spread if kept.place % self._stride == 0]

    def close(self) -> None:
        """Draw and write the sheet; a second time does nothing. Without a frame there is no file.

        Raises:
            OSError: the file cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        if self._spread:
            out = io.BytesIO()
            sheet = _sheet([_draw(kept) for kept in self._chosen()])
            sheet.save(out, self._format, quality=_QUALITY)
            write_whole(self._path, out.getvalue(), self._replace)

    def _chosen(self) -> list[_Kept]:
        """Even at first, then as many swaps as it takes to show every kind."""
        chosen = _evenly(self._spread, self._tiles)
        for kind, kept in self._first.items():
            if any(kind in other.kinds for other in chosen):
                continue
            if len(chosen) >= self._tiles:
                spare = _least_missed(chosen)
                if spare is None:
                    break
                chosen.remove(spare)
            chosen.append(kept)
        return sorted(chosen, key=lambda kept: kept.place)


def _evenly(kept: list[_Kept], count: int) -> list[_Kept]:
    """``count`` of them, the first and the last among them."""
    if len(kept) <= count:
        return list(kept)
    places = np.linspace(0, len(kept) - 1, count).round().astype(int)
    return [kept[place] for place in places]


def _least_missed(chosen: list[_Kept]) -> _Kept | None:
    """One whose kinds others show too; None where each is the only one of some kind. Of several,
    the one whose neighbours are nearest."""
    spares = [
        kept
        for kept in chosen
        if all(
            any(kind in other.kinds for other in chosen if other is not kept) for kind in kept.kinds
        )
    ]
    places = sorted(kept.place for kept in chosen)

    def room(kept: _Kept) -> int:
        at = places.index(kept.place)
        return places[min(at + 1, len(places) - 1)] - places[max(at - 1, 0)]

    return min(spares, key=room, default=None)


def _keep(place: int, frame: Frame, faces: Sequence[FaceAnswer]) -> _Kept:
    """A tile's worth of the frame: a sheet of a 4K camera must not hold 4K pictures."""
    canvas = Canvas.for_picture(frame.rgb, TILE_PX)
    size = (canvas.width_px, canvas.picture_px)
    height, width = frame.rgb.shape[:2]
    small = Image.fromarray(frame.rgb).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    across, down = size[0] / width, size[1] / height
    moved = tuple(
        replace(
            face,
            box=replace(
                face.box,
                x=round(face.box.x * across),
                y=round(face.box.y * down),
                w=round(face.box.w * across),
                h=round(face.box.h * down),
            ),
        )
        for face in faces
    )
    return _Kept(place, replace(frame, rgb=np.asarray(small)), canvas, moved)


def _draw(kept: _Kept) -> Image.Image:
    return Image.fromarray(annotate(kept.frame, kept.faces, kept.canvas))


def _sheet(tiles: list[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width = max(tile.width for tile in tiles) + _GAP_PX
    height = max(tile.height for tile in tiles) + _GAP_PX
    sheet = Image.new("RGB", (columns * width + _GAP_PX, rows * height + _GAP_PX), _PAPER)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(tile, (column * width + _GAP_PX, row * height + _GAP_PX))
    return sheet
