"""Sources that have an end: pictures, and videos of known length."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from splitfer.edge_client.source_name import as_text
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.decoder import Decoder
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.picture import LONGEST_BYTES, read_picture
from splitfer.shared.errors import ImageError, PayloadTooLarge, SourceError
from splitfer.shared.regular_file import read_regular

FOLDER_FPS = 1.0
"""A folder has no rate of its own: its pictures stand a second apart."""

_log = logging.getLogger(__name__)


class Pictures(Source):
    """Picture files, one frame each; a frame's ``source`` is the file's own path.

    Of several, a damaged one, one that is no file, or one of more than ``most_pixels``, is left out
    with a warning and counted in ``skipped``.
    """

    moving = False

    def __init__(self, paths: list[Path], name: str, live: bool, most_pixels: int) -> None:
        super().__init__(name, live, self_paced=False)
        self.frames_total = len(paths)
        self.fps = FOLDER_FPS
        self._paths = paths
        self._most_pixels = most_pixels

    def __iter__(self) -> Iterator[Frame]:
        """One frame a picture, in the order given.

        Raises:
            SourceError: none of them can be read.
        """
        for index, path in enumerate(self._paths):
            if self._closed.is_set():
                return
            try:
                data = read_regular(path, LONGEST_BYTES)
                picture = read_picture(data, self._most_pixels, str(path))
            except (ImageError, PayloadTooLarge, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                self.skipped += 1
                if self.skipped == len(self._paths):
                    raise SourceError(f"{path}: {why}") from error
                _log.warning("%s is left out: %s", path, why)
                continue
            yield Frame(
                as_text(str(path)),
                index,
                index / FOLDER_FPS,
                picture.rgb,
                time.monotonic(),
                reduced_by=picture.reduced_by,
            )


class VideoFile(Source):
    """A video with an end. ``laps`` plays it several times over, in one line of time."""

    def __init__(self, decoder: Decoder, live: bool, laps: int = 1) -> None:
        super().__init__(decoder.name, live, self_paced=False)
        self.fps = decoder.fps
        if decoder.frames_total is not None:
            self.frames_total = decoder.frames_total * laps
        self._decoder = decoder
        self._laps = laps

    def __iter__(self) -> Iterator[Frame]:
        """The frames at the times that the file gives them, the first at 0.

        Raises:
            SourceError: not one frame can be decoded, or reading broke off.
        """
        index, lap_start_s = 0, 0.0
        for lap in range(self._laps):
            if lap:
                self._decoder = self._decoder.again()
            time_s = gap_s = 0.0
            for picture in self._decoder.pictures(self._closed):
                time_s, gap_s = picture.time_s, picture.time_s - time_s
                yield Frame(self.name, index, lap_start_s + time_s, picture.rgb, time.monotonic())
                index += 1
            if self._closed.is_set():
                return
            lap_start_s += time_s + (1 / self.fps if self.fps else gap_s)
        if index == 0:
            raise SourceError(f"{self.name}: no picture in it can be decoded")

    def close(self) -> None:
        """End the iteration and close the file. From any thread; a second time does nothing."""
        super().close()
        self._decoder.close()
