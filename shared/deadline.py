"""A monotonic instant by which an answer is worth having."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, order=True)
class Deadline:
    """An instant of a monotonic clock, in seconds. The wire carries what remains, never this."""

    at_s: float

    @classmethod
    def after_ms(cls, milliseconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The instant ``milliseconds`` from now."""
        return cls(clock() + milliseconds / 1000)

    def remaining_ms(self, clock: Clock = time.monotonic) -> float:
        """Milliseconds left; negative once it has passed."""
        return (self.at_s - clock()) * 1000

    def expired(self, clock: Clock = time.monotonic) -> bool:
        """Whether nothing is left."""
        return clock() >= self.at_s
