"""Answers, and a sign of life while there are none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.records import UNNAMED, Origin, heartbeat_record
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock

_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)


class AnswersAndHeartbeats(JsonLines):
    """One line per face, and one heartbeat whenever no line was written for ``every_s``.

    So three silences differ: nobody there (``no_face``), the camera away (``no_picture``), and a
    device that hangs or is off, which writes nothing. ``source`` is the name of what is read.
    """

    def __init__(
        self,
        target: str | JsonLines,
        source: str,
        every_s: float,
        max_mb: float | None = None,
        origin: Origin = UNNAMED,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(target, max_mb=max_mb, origin=origin)
        self._source = source
        self._every_s = every_s
        self._clock = clock
        self._written_s = clock()
        self._frames = 0
        self._last: Frame | None = None

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool:
        """The lines of one frame, or a heartbeat where it is time for one."""
        self._last = replace(frame, rgb=_NO_PIXELS)
        if not faces:
            self._frames += 1
            return self.idle()
        super().write(frame, faces)
        self._begin_anew()
        return True

    def idle(self) -> bool:
        """A heartbeat, where it is time for one; whether it was.

        Raises:
            OSError: it cannot be written; the next is due an interval later.
        """
        if self._clock() - self._written_s < self._every_s:
            return False
        record = heartbeat_record(self._source, self._origin, time.time(), self._frames, self._last)
        self._begin_anew()
        self._write([record])
        return True

    def _begin_anew(self) -> None:
        self._written_s = self._clock()
        self._frames = 0
