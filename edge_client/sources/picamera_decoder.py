"""The Pi's own camera, by ``picamera2``, which comes with the system's Python."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator

import numpy as np

from splitfer.edge_client.sources.decoder import Picture
from splitfer.edge_client.sources.pace import Pace
from splitfer.shared.errors import SourceError

SIZE_PX = (640, 480)
_FPS = 15.0


class PicameraDecoder:
    """Camera ``number`` of libcamera: see ``Decoder``. Its pictures are of ``SIZE_PX``, at most
    ``most_fps`` a second.

    Raises:
        SourceError: there is no such camera, or another program has it.
    """

    def __init__(self, number: int, name: str, most_fps: float | None = None) -> None:
        from picamera2 import Picamera2

        self.name = name
        self.duration_s: float | None = None
        self.frames_total: int | None = None
        self.fps: float | None = min(_FPS, most_fps) if most_fps else _FPS
        self._pace = Pace(self.fps)
        try:
            self._camera = Picamera2(number)
        except Exception as error:  # libcamera's own kinds
            raise SourceError(
                f"{name}: {_words(error)}; is it plugged in and not in use?"
            ) from error
        try:
            # What it calls BGR is RGB in memory.
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": SIZE_PX, "format": "BGR888"}, controls={"FrameRate": self.fps}
                )
            )
            self._camera.start()
        except Exception as error:
            self._end()
            raise SourceError(f"{name}: {_words(error)}") from error

    def pictures(self, stop: threading.Event) -> Generator[Picture]:
        """Pictures until ``stop`` is set, then the camera is given back. Once per decoder.

        Raises:
            SourceError: reading broke off.
        """
        start_s = time.monotonic()
        try:
            while not stop.is_set():
                try:
                    rgb = self._camera.capture_array("main")
                except Exception as error:
                    raise SourceError(f"{self.name}: {_words(error)}") from error
                now_s = time.monotonic()
                if self._pace.takes(now_s):
                    yield Picture(np.ascontiguousarray(rgb[:, :, :3], np.uint8), now_s - start_s)
        finally:
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            self._camera.stop()
        with contextlib.suppress(Exception):
            self._camera.close()


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
