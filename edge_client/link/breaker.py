"""The link as states: when frames may go to the server, and when to try again.

    CONNECTING --handshake--> READY --failures in a row--> OPEN --time--> HALF_OPEN
         ^ probe failed: wait,  ^                            ^               |  |
         `-- try again          `------- handshake ----------|---------------'  |
                                                             `--- probe failed -'

Everything here is a pure function of (breaker, event, now). A probe is a handshake, made beside
the frames: no frame ever waits to find out whether the server is back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from splitfer.shared.contracts import Reason

# Two lost calls may be one hiccup of a wireless link; three frames in a row are an outage.
FAILURES_TO_OPEN = 3
FIRST_WAIT_S = 0.25
# A server that is back must be used again within a few seconds, so waits do not grow past this.
LONGEST_WAIT_S = 2.0


class LinkState(Enum):
    """Where the link stands."""

    CONNECTING = "connecting"
    READY = "ready"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Breaker:
    """The link's state, and what is needed to move it on.

    ``failures`` in a row while ready, ``probes`` in a row that failed since it was ready, the
    instant ``probe_at_s`` of the next one, and the ``cause`` of the last failure.
    """

    state: LinkState = LinkState.CONNECTING
    failures: int = 0
    probes: int = 0
    probe_at_s: float = 0.0
    cause: Reason = Reason.LINK_DOWN

    @property
    def refusal(self) -> Reason | None:
        """Why a frame must not be sent now; None where it may be."""
        if self.state is LinkState.READY:
            return None
        if self.cause in (Reason.MODEL_MISMATCH, Reason.UNAUTHORISED):
            return self.cause
        return Reason.LINK_DOWN if self.state is LinkState.CONNECTING else Reason.BREAKER_OPEN

    def probe_due(self, now_s: float) -> bool:
        """Whether a handshake should be tried now."""
        waiting = self.state in (LinkState.CONNECTING, LinkState.OPEN)
        return waiting and now_s >= self.probe_at_s


def probe_started(breaker: Breaker) -> Breaker:
    """Note that a handshake is on its way."""
    if breaker.state is LinkState.OPEN:
        return replace(breaker, state=LinkState.HALF_OPEN)
    return breaker


def handshake_succeeded(_: Breaker) -> Breaker:
    """The server answered and has the same weights."""
    return Breaker(LinkState.READY)


def handshake_failed(breaker: Breaker, cause: Reason, now_s: float, jitter: float) -> Breaker:
    """The probe brought nothing; wait longer. ``jitter`` is drawn from 0..1."""
    state = LinkState.OPEN if breaker.state is LinkState.HALF_OPEN else breaker.state
    probes = breaker.probes + 1
    wait_s = _wait_s(probes, jitter)
    return Breaker(state, probes=probes, probe_at_s=now_s + wait_s, cause=cause)


def call_succeeded(breaker: Breaker) -> Breaker:
    """Note that a frame's call was answered."""
    return replace(breaker, failures=0) if breaker.state is LinkState.READY else breaker


def call_failed(breaker: Breaker, cause: Reason, now_s: float, jitter: float) -> Breaker:
    """A frame's call failed. Calls that end after the breaker opened change nothing."""
    if breaker.state is not LinkState.READY:
        return breaker
    failures = breaker.failures + 1
    # Other weights or a refused token do not become right by asking again.
    final = cause in (Reason.MODEL_MISMATCH, Reason.UNAUTHORISED)
    if failures < FAILURES_TO_OPEN and not final:
        return replace(breaker, failures=failures, cause=cause)
    return Breaker(LinkState.OPEN, probe_at_s=now_s + _wait_s(0, jitter), cause=cause)


def _wait_s(probes: int, jitter: float) -> float:
    """Doubling waits, each shortened by up to half so that many edges do not come back at once."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(probes, 10))
    return longest * (1 - jitter / 2)
