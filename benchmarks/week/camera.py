"""A camera whose time is played, and which can be unplugged and frozen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.week.played_time import PlayedTime
from splitfer.edge_client.sources.decoder import Picture
from splitfer.edge_client.sources.live import Stream
from splitfer.shared.errors import SourceError

SCENE_S = 300.0
"""How long one picture stands before the camera."""

_LOOK_AGAIN_S = 0.2


@dataclass
class PlayedCamera:
    """Gives a frame each ``frame_s`` of played time, once the run has taken the one before, so that
    the time passes as fast as frames are answered. ``each`` is called as time passes, in the
    camera's thread: it may unplug it (``away``), freeze it, and have it give frames without waiting
    for anybody (``hurried``)."""

    time: PlayedTime
    scenes: Sequence[NDArray[np.uint8]]
    frame_s: float
    each: Callable[[], None]
    away: bool = False
    frozen: bool = False
    hurried: bool = False

    def __post_init__(self) -> None:
        self._taken = threading.Event()
        self._count = 0

    def opened(self) -> Stream:
        """A source of its frames, as ``run`` opens it."""
        self._taken.set()
        closed = threading.Event()

        def wait(seconds: float) -> bool:
            self.time.pass_s(seconds)
            self.each()
            return closed.is_set()

        return Stream(
            "camera",
            lambda: _Opened(self),
            clock=self.time.monotonic,
            wait=wait,
            patient=True,
            end=closed.set,
        )

    def taken(self) -> None:
        """The run is done with a frame."""
        self._taken.set()

    def check(self) -> None:
        """Raises SourceError where it is unplugged."""
        if self.away:
            raise SourceError("camera: it was unplugged")

    def frames(self, stop: threading.Event) -> Generator[Picture, None, None]:
        """Until it is stopped or unplugged."""
        while not stop.is_set():
            self.time.pass_s(self.frame_s)
            self.each()
            self.check()
            if self.frozen:
                continue
            while not (self.hurried or self._taken.wait(_LOOK_AGAIN_S)):
                if stop.is_set():
                    return
            self._taken.clear()
            yield Picture(self._seen(), self.time.now_s)

    def _seen(self) -> NDArray[np.uint8]:
        """A scene as a sensor sees it, never the same to the bit. The first pixel says which."""
        scene = int(self.time.now_s // SCENE_S) % len(self.scenes)
        picture = self.scenes[scene].copy()
        self._count += 1
        picture[0, 0] = self._count % 256, self._count // 256 % 256, scene
        return picture


class _Opened:
    """The camera, opened once."""

    name = "camera"
    fps: float | None = None
    duration_s: float | None = None
    frames_total: int | None = None

    def __init__(self, camera: PlayedCamera) -> None:
        self._camera = camera
        camera.check()

    def again(self) -> _Opened:
        return _Opened(self._camera)

    def pictures(self, stop: threading.Event) -> Generator[Picture, None, None]:
        return self._camera.frames(stop)

    def close(self) -> None:
        """Nothing is held."""
