"""Which answers go to webhook and broker: into the outbox, from where they are sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.records import (
    Origin,
    event_record,
    face_record,
    heartbeat_record,
)
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import FaceEvent
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock

LEAST_S = 1.0
"""Between two changes: labels that flicker are no news."""


class Outgoing:
    """A sink that puts records into ``outbox``: what happens to faces, and the answers of every
    frame. With ``changes_only`` what happens is all, where faces are followed; else the answers of
    those frames whose labels differ from what was put last, ``LEAST_S`` apart. A frame without a
    face is a heartbeat's record, and only where it is a change."""

    def __init__(
        self,
        outbox: Outbox,
        origin: Origin,
        changes_only: bool = True,
        clock: Clock = time.monotonic,
    ) -> None:
        self._outbox, self._origin = outbox, origin
        self._changes_only, self._clock = changes_only, clock
        self._followed = False
        self._labels: tuple[str, ...] | None = None
        self._put_s = float("-inf")

    def happened(self, frame: Frame, events: Sequence[FaceEvent]) -> None:
        """Queue what happened to faces."""
        self._followed = True
        self._outbox.put(
            [json.dumps(event_record(frame, event, self._origin)).encode() for event in events]
        )

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Queue one frame's records."""
        self._followed = self._followed or any(face.track is not None for face in faces)
        if self._changes_only and self._followed:
            return
        labels = tuple(face.label for face in faces)
        changed = labels != self._labels
        if not changed and (self._changes_only or not faces):
            return
        now_s = self._clock()
        if self._changes_only and now_s - self._put_s < LEAST_S:
            return
        self._labels, self._put_s = labels, now_s
        records = [
            face_record(frame, index, face, self._origin) for index, face in enumerate(faces)
        ] or [heartbeat_record(frame.source, self._origin, frame.wall_s, 1, frame)]
        self._outbox.put([json.dumps(record).encode() for record in records])

    def add(self, record: dict[str, Any]) -> None:
        """Queue another record."""
        self._outbox.put([json.dumps(record).encode()])

    def close(self) -> None:
        """Nothing: what waits goes out on, as long as the outbox is open."""
