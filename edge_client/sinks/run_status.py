"""How a run is: its newest answers, and what a person or a program would want to know of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock

NO_PICTURE_S = 10.0
"""After so long without a frame the camera is away."""

STILL_FLOWS_S = 60.0
"""How long a camera that is being opened again may give no frame before systemd's watchdog is no
longer fed."""

_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)


class Health(StrEnum):
    """How a run is, the worst first."""

    STARTING = "starting"  # no picture yet
    PAUSED = "paused"
    NO_PICTURE = "no_picture"  # none was answered for long, and nobody knows why
    WAITING = "waiting_for_camera"  # it is away, and tried again
    OUTPUT_FAILING = "output_failing"  # answers cannot be written where they should be
    SERVER_AWAY = "server_away"  # the device answers itself
    OK = "ok"

    @property
    def works(self) -> bool:
        """Whether frames are answered as they should be."""
        return self in (Health.OK, Health.SERVER_AWAY)

    @property
    def serves(self) -> bool:
        """Whether the run does what it can: also while it is paused, begins, or waits for its
        camera."""
        return self.works or self in (Health.PAUSED, Health.STARTING, Health.WAITING)


@dataclass(frozen=True)
class Newest:
    """The newest frame (``number`` counts those answered, from 1) with its answers."""

    number: int
    frame: Frame
    faces: tuple[FaceAnswer, ...]
    at_s: float


class RunStatus:
    """A sink that remembers the newest frame. Safe to use from several threads.

    ``failing`` says which output lacks something now, ``server_away`` whether a server is set and
    cannot be used, ``source_fault`` why the camera is waited for.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.failing: Callable[[], str | None] = lambda: None
        self.server_away: Callable[[], bool] = lambda: False
        self.paused: Callable[[], bool] = lambda: False
        self.source_fault: Callable[[], str | None] = lambda: None
        self.facts: dict[str, Callable[[], Any]] = {}
        self._clock = clock
        self._started_s = clock()
        self._newest: Newest | None = None

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """One frame was answered."""
        frame = replace(frame, rgb=_NO_PIXELS)
        number = self._newest.number + 1 if self._newest else 1
        self._newest = Newest(number, frame, tuple(faces), self._clock())

    def close(self) -> None:
        """Nothing."""

    def newest(self) -> Newest | None:
        """The newest frame; None before the first."""
        return self._newest

    def quiet_s(self) -> float:
        """How long ago the newest frame was answered, or the run began."""
        newest = self._newest
        return self._clock() - (newest.at_s if newest else self._started_s)

    def pictures_come(self) -> bool:
        """Whether the newest frame's answers are how it looks now."""
        return self._newest is not None and not self.paused() and self.quiet_s() <= NO_PICTURE_S

    def health(self) -> Health:
        """How the run is now."""
        if self.paused():
            return Health.PAUSED
        away = self.source_fault() is not None
        if self.quiet_s() > NO_PICTURE_S:
            return Health.WAITING if away else Health.NO_PICTURE
        if self._newest is None:
            return Health.WAITING if away else Health.STARTING
        if self.failing() is not None:
            return Health.OUTPUT_FAILING
        return Health.SERVER_AWAY if self.server_away() else Health.OK

    def report(self) -> Mapping[str, Any]:
        """Health, the newest frame's time, and the facts that were added."""
        newest = self._newest
        return {
            "health": self.health().value,
            "failing": self.failing(),
            "waiting_for": self.source_fault(),
            "frames": newest.number if newest else 0,
            "quiet_s": round(self.quiet_s(), 1),
            "up_s": round(self._clock() - self._started_s, 1),
            **{name: fact() for name, fact in self.facts.items()},
        }
