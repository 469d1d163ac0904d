"""The line of time of a recording, whatever its time stamps do."""

from __future__ import annotations

# What a recording may leave out without being two: a camera that writes on movement alone pauses.
LONGEST_GAP_S = 10.0
# Of the step before: a time-lapse has a picture a minute.
_MOST_STEPS = 10.0
_USUAL_S = 1 / 25


class Timeline:
    """From a recording's own times to times that never fall, the first at 0.

    A time stamp that goes back by more than two frames, or on by more than ``LONGEST_GAP_S`` and
    ten frames, is a new beginning: recordings that were joined, a camera whose clock was set. It
    follows the picture before it as one picture follows another. ``fps`` is the recording's own
    claim.
    """

    def __init__(self, fps: float | None) -> None:
        self._step_s = 1 / fps if fps else None
        self._own_s: float | None = None
        self._time_s = 0.0
        self.beginnings = 0

    def at(self, own_s: float | None) -> float:
        """The time of the next picture, in seconds; ``own_s`` is its stamp, if it has one."""
        if self._own_s is None:
            self._own_s = own_s if own_s is not None else 0.0
            self.beginnings = 1
            return 0.0
        usual_s = self._step_s or _USUAL_S
        if own_s is None:
            own_s = self._own_s + usual_s
        step_s = own_s - self._own_s
        if 0 > step_s >= -2 * usual_s:
            # Neighbours that changed places; the stamps soon catch up with the time.
            return self._time_s
        most_s = max(LONGEST_GAP_S, _MOST_STEPS * self._step_s) if self._step_s else None
        if step_s < 0 or (most_s is not None and step_s > most_s):
            self.beginnings += 1
            step_s = usual_s
        elif step_s > 0:
            self._step_s = step_s
        self._own_s = own_s
        self._time_s += step_s
        return self._time_s
