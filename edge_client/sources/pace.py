"""At most so many pictures a second, evenly."""

from __future__ import annotations


class Pace:
    """Says of each picture whether it is taken. Where they come faster than ``most_fps``, that many
    are taken on average; None takes all."""

    def __init__(self, most_fps: float | None) -> None:
        self._step_s = 1 / most_fps if most_fps else 0.0
        self._due_s: float | None = None

    def takes(self, time_s: float) -> bool:
        """Of the picture at this time, which is not before the last one's."""
        if not self._step_s:
            return True
        if self._due_s is not None and time_s < self._due_s:
            return False
        # From when it was due, so that a rate between is met; after a pause from now.
        due_s = time_s if self._due_s is None else self._due_s
        self._due_s = max(due_s + self._step_s, time_s)
        return True
