"""Clocks that pass when the simulation says so."""

from __future__ import annotations

from splitfer.edge_client.appliance.clocks import Clocks

_FIRST_WALL_S = 1_800_000_000.0
HOUR_S = 3600.0


class PlayedTime:
    """``now_s`` counts from the beginning; ``set_by_s`` is what somebody set the wall clock by."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.set_by_s = 0.0

    def pass_s(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now_s += seconds

    def monotonic(self) -> float:
        """What nobody can set."""
        return self.now_s

    def wall(self) -> float:
        """What stands in records."""
        return _FIRST_WALL_S + self.now_s + self.set_by_s

    @property
    def clocks(self) -> Clocks:
        """For an appliance."""
        return Clocks(self.monotonic, self.monotonic, self.wall)
