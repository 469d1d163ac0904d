"""Which of a link's failures are logged: each cause once, and once that it is over."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from splitfer.shared.cause import Cause

# Two causes in turn, or a server that is too busy again and again, are logged no more often.
QUIET_S = 60.0


@dataclass
class Outage:
    """Fed with what handshakes and calls bring; says what is worth a line. It keeps no clock.

    A cause that a handshake met is over once one succeeds; one that calls met (the handshakes
    succeed) is over once a call is answered.
    """

    _cause: Cause | None = None
    _met_by_call: bool = False
    _line: Cause | None = None
    _told_s: dict[Cause, float] = field(default_factory=dict)

    def failed(self, cause: Cause, now_s: float, by_call: bool = False) -> bool:
        """Whether to log ``cause``: it is another than the last one logged, or comes anew."""
        self._cause, self._met_by_call = cause, by_call
        if cause is self._line or now_s - self._told_s.get(cause, -math.inf) < QUIET_S:
            return False
        self._line, self._told_s[cause] = cause, now_s
        return True

    def handshake_succeeded(self) -> bool:
        """Whether to log that the link is back."""
        if self._cause is None or self._met_by_call:
            return False
        # A new outage is logged, however soon it comes.
        self._told_s.clear()
        return self._over()

    def call_succeeded(self) -> bool:
        """Whether to log that the link is back."""
        return self._cause is not None and self._over()

    def _over(self) -> bool:
        told, self._cause, self._line = self._line is not None, None, None
        return told
