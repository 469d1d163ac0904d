"""Whether the server takes work."""

from __future__ import annotations

from enum import Enum, auto

from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.shared.errors import NotReady


class Phase(Enum):
    """A server starts, serves, perhaps serves on while it says that it leaves, and drains; there
    is no way back."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    DRAINING = auto()


class Health:
    """The phase, and the requests that were let in."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._in_flight = InFlight()

    @property
    def reason(self) -> str:
        """The phase as a word: why requests are not let in, where they are not."""
        return self.phase.name.lower()

    @property
    def ready(self) -> bool:
        """Whether more requests are wanted, as probes see it."""
        return self.phase is Phase.SERVING

    @property
    def in_flight(self) -> int:
        """How many requests were let in and have no answer yet."""
        return self._in_flight.count

    @property
    def is_empty(self) -> bool:
        """Whether no request is in flight."""
        return not self._in_flight.count

    def request(self) -> InFlight:
        """A request, from its arrival to its answer.

        Raises:
            NotReady: starting or draining.
        """
        if self.phase is not Phase.SERVING and self.phase is not Phase.LEAVING:
            raise NotReady(f"the server is {self.reason}")
        return self._in_flight

    async def empty(self) -> None:
        """Return once no request is in flight."""
        await self._in_flight.none()
