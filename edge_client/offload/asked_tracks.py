"""Which faces of a moving picture are worth asking about: not the same one in each frame.

A face is followed, and what it showed lately is smoothed. Where that is sure, nothing is asked.
Where it is not, the server is asked, and what it said stands with the device's own answers from
then on; it is asked again after a while, or where the device sees something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.tracking.smoothing import Smoothing
from splitfer.edge_client.tracking.tracker import Tracker
from splitfer.shared.contracts import Answer

# The second time is so much sooner than after ``again_s``, each later one half as much
# (measured by ``python -m benchmarks cascade_clips``).
_SOONER = 16
# Sums of a video's times are not exact.
_NEARLY_S = 1e-6


@dataclass
class _Track:
    """One face: what it showed lately, with what the server said, by the device alone, and by the
    server alone; when it was asked about, how often in a row, and what the device said then; and
    what the server ``said`` lately, to be averaged with the device's answers where ``together``."""

    shown: Smoothing
    own: Smoothing
    server: Smoothing
    own_label: str | None = None
    asked_s: float | None = None
    asked_label: str | None = None
    times: int = 0
    said: Answer | None = None
    together: bool = False


class AskedTracks:
    """Remembers the faces of one source.

    A face is asked about where its confidence (0..1) lies below ``threshold``; where it stays
    there, again, at first soon and then every ``again_s``. Answers are smoothed over ``smooth_s``;
    a face that is not found for ``lost_s`` is a new one.
    """

    def __init__(self, threshold: float, again_s: float, smooth_s: float, lost_s: float) -> None:
        self._threshold, self._again_s = threshold, again_s
        self._smooth_s, self._lost_s = smooth_s, lost_s
        self._forget()

    def _forget(self) -> None:
        self._tracker = Tracker(self._lost_s)
        self._tracks: dict[int, _Track] = {}
        self._numbers: list[int] = []
        self._time_s = 0.0

    def worth_asking(self, time_s: float, faces: Sequence[PendingFace]) -> tuple[int, ...]:
        """Indices of a frame's faces, which the device answered. What the server said of them
        before stands with that. Where time runs back another video has begun."""
        if time_s < self._time_s:
            self._forget()
        self._time_s = time_s
        self._numbers, left = self._tracker.follow(time_s, [face.box for face in faces])
        for number in left:
            self._tracks.pop(number, None)
        worth = []
        for index, (number, face) in enumerate(zip(self._numbers, faces, strict=True)):
            track = self._tracks.setdefault(number, self._new_track())
            if self._is_worth(track, self._shown(track, face)):
                worth.append(index)
        return tuple(worth)

    def asked(self, faces: Sequence[PendingFace], indices: Sequence[int], together: bool) -> None:
        """These of the frame's faces were asked about; those that were answered have the answer."""
        for index in indices:
            track, face = self._tracks[self._numbers[index]], faces[index]
            same = track.own_label == track.asked_label
            track.times = track.times + 1 if same else 1
            track.asked_s, track.asked_label = self._time_s, track.own_label
            if face.said is not None:
                lately = track.server.add(self._time_s, face.said.probabilities, uncertain=False)
                track.said = replace(face.said, probabilities=lately.probabilities)
                track.together = together

    def _new_track(self) -> _Track:
        shown, own, server = (Smoothing(self._smooth_s) for _ in range(3))
        return _Track(shown, own, server)

    def _shown(self, track: _Track, face: PendingFace) -> float:
        """How sure what the face showed lately is, this frame counted."""
        if track.said is not None:
            face.remember(track.said, track.together)
        assert face.own is not None
        own = track.own.add(self._time_s, face.own.probabilities, uncertain=False)
        track.own_label = own.label
        standing = face.standing or face.own
        shown = track.shown.add(self._time_s, standing.probabilities, uncertain=False)
        return max(shown.probabilities)

    def _is_worth(self, track: _Track, confidence: float) -> bool:
        if confidence >= self._threshold:
            return False
        if track.asked_s is None or track.own_label != track.asked_label:
            return True
        again_s = self._again_s / max(1, _SOONER >> (track.times - 1))
        return self._time_s - track.asked_s >= again_s - _NEARLY_S
