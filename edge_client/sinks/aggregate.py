"""Counts per interval in place of answers: nothing of a single face leaves the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from splitfer.edge_client.sinks.mqtt_messages import NO_FACE, state_message
from splitfer.edge_client.sinks.records import Origin, aggregate_record
from splitfer.edge_client.sinks.run_status import Health, Newest
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock


class Aggregate:
    """A sink that gives ``take`` one record per ``every_s``, also where nobody was seen.

    ``closed`` is called at the end. ``idle`` is for the time in which no frame comes.
    """

    def __init__(
        self,
        take: Callable[[dict[str, Any]], None],
        source: str,
        every_s: float,
        origin: Origin,
        closed: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self.last: dict[str, Any] | None = None
        self._take, self._source, self._every_s, self._origin = take, source, every_s, origin
        self._closed, self._clock, self._wall = closed, clock, wall
        self._began_s = clock()
        self._frames = self._empty = self._most = self._uncertain = 0
        self._labels: Counter[str] = Counter()

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Count one frame."""
        self.idle()
        self._frames += 1
        self._empty += not faces
        self._most = max(self._most, len(faces))
        for face in faces:
            self._labels[face.label] += 1
            self._uncertain += face.uncertain

    def idle(self) -> None:
        """Give the record, where the interval is over."""
        now_s = self._clock()
        if now_s - self._began_s < self._every_s:
            return
        record = aggregate_record(
            self._source,
            self._origin,
            self._wall(),
            round(now_s - self._began_s, 3),
            {
                "frames": self._frames,
                "frames_without_face": self._empty,
                "most_faces": self._most,
                "labels": dict(sorted(self._labels.items())),
                "uncertain": self._uncertain,
            },
        )
        self._began_s = now_s
        self._frames = self._empty = self._most = self._uncertain = 0
        self._labels.clear()
        self.last = record
        self._take(record)

    def close(self) -> None:
        """Report no interval that is not over: it could be of one moment."""
        self._closed()

    def state(self, newest: Newest | None, health: Health) -> dict[str, Any]:
        """MQTT's state, of the last whole interval."""
        last = self.last
        if newest is None or last is None:
            return state_message(None, health)
        labels = last["labels"]
        return {
            **state_message(None, health),
            "expression": max(labels, key=lambda one: labels[one]) if labels else NO_FACE,
            "faces": last["most_faces"],
            "expressions": labels,
            "time": last["time"],
        }
