"""A source's answers with numbers and smoothed answers, and what happens to its faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from splitfer.edge_client.tracking.smoothing import Smoothing
from splitfer.edge_client.tracking.tracker import Tracker
from splitfer.shared.contracts import FaceAnswer

# A face that is found once only may be none.
_FOUND_TIMES = 2


class Happening(StrEnum):
    """What happens to a face. ``NOBODY`` says that the last one has left."""

    APPEARED = "appeared"
    CHANGED = "changed"
    LEFT = "left"
    NOBODY = "nobody"


@dataclass(frozen=True)
class FaceEvent:
    """Something happened to the face numbered ``track``; ``label`` is its smoothed one, and
    ``uncertain`` whether it was too little to go by. All are None where nobody is left."""

    happening: Happening
    track: int | None = None
    label: str | None = None
    uncertain: bool | None = None


class _Face:
    def __init__(self, smooth_s: float) -> None:
        self.smoothing = Smoothing(smooth_s)
        self.found = 0
        self.label: str | None = None  # as it was reported; None before it has appeared
        self.uncertain = False


class TrackedFaces:
    """Follows the faces of one source.

    Answers are smoothed over ``smooth_s``; a face that is not found for ``lost_s`` has left. One
    that is found a single time only has neither appeared nor left.
    """

    def __init__(self, smooth_s: float, lost_s: float) -> None:
        self._smooth_s = smooth_s
        self._tracker = Tracker(lost_s)
        self._faces: dict[int, _Face] = {}

    def follow(
        self, time_s: float, faces: Sequence[FaceAnswer]
    ) -> tuple[list[FaceAnswer], list[FaceEvent]]:
        """The answers of a frame at ``time_s`` with numbers and smoothed ones; what happened."""
        numbers, left = self._tracker.follow(time_s, [face.box for face in faces])
        events = [event for number in left if (event := self._leave(number))]
        followed = []
        for number, answer in zip(numbers, faces, strict=True):
            face = self._faces.setdefault(number, _Face(self._smooth_s))
            counted = answer.standing or answer.answer
            quality = 1.0 if answer.quality is None else answer.quality
            smoothed = face.smoothing.add(time_s, counted.probabilities, answer.uncertain, quality)
            smoothed = replace(smoothed, trust=answer.trust and answer.trust.of(smoothed))
            face.uncertain = smoothed.uncertain
            face.found += 1
            if face.found >= _FOUND_TIMES and smoothed.label != face.label:
                happening = Happening.CHANGED if face.label else Happening.APPEARED
                face.label = smoothed.label
                events.append(FaceEvent(happening, number, face.label, face.uncertain))
            followed.append(replace(answer, track=number, smoothed=smoothed))
        if any(event.happening is Happening.LEFT for event in events) and not self._appeared:
            events.append(FaceEvent(Happening.NOBODY))
        return followed, events

    @property
    def _appeared(self) -> bool:
        return any(face.label for face in self._faces.values())

    def _leave(self, number: int) -> FaceEvent | None:
        face = self._faces.pop(number)
        if face.label is None:
            return None
        return FaceEvent(Happening.LEFT, number, face.label, face.uncertain)
