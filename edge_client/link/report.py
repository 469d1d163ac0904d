"""What the link tells a person: why the server cannot be used, in one line per cause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.link.call_cause import VAGUE
from splitfer.edge_client.link.outage import Outage
from splitfer.shared.cause import Cause, Names, came_back, what_to_do
from splitfer.shared.peer_words import peer_words

# Where the other side's own words say more than ours.
_QUOTED = frozenset(
    {Cause.CLOSED, Cause.BROKEN, Cause.TLS_FAILED, Cause.OTHER_PROTOCOL, Cause.OTHER_SERVICE,
     Cause.UNAUTHORISED, Cause.FORBIDDEN, Cause.MODEL_MISMATCH, Cause.NOT_READY, Cause.OVERLOADED,
     Cause.SERVER_ERROR, Cause.UNREACHABLE, Cause.NAME_SERVER}
)  # fmt: skip
# A little longer than any look takes.
_LOOK_WAIT_S = 5.0
_NAMES = Names()
_log = logging.getLogger("splitfer.edge_client.link.link")


class LinkReport:
    """Keeps the last failure of the link to ``server`` and logs what is worth a line. Safe to use
    from several threads. ``token`` is in no line, whatever the server says.

    A failed handshake whose cause gRPC leaves open is explained by ``look_into``, which asks
    ``diagnose``; once for each change.
    """

    def __init__(
        self, server: str, token: str | None, diagnose: Callable[[], Cause | None]
    ) -> None:
        self.cause: Cause | None = None
        self._server, self._token, self._diagnose = server, token, diagnose
        self._words = ""
        self._outage = Outage()
        self._changed = threading.Condition(threading.RLock())
        self._open: CallFailed | None = None
        # What gRPC said, and what was found behind it.
        self._found: tuple[Cause, Cause | None] | None = None
        self._ever_ready = False

    def record(self) -> dict[str, Any]:
        """For the summary. Waits while a failure is being looked into."""
        with self._changed:
            self._changed.wait_for(lambda: self._open is None, _LOOK_WAIT_S)
            failure = {"cause": self.cause.value, "words": self._words} if self.cause else None
            return {"server": self._server, "failure": failure}

    def handshake_failed(self, failure: CallFailed) -> None:
        """A handshake brought nothing; ``look_into`` follows, outside the link's lock."""
        with self._changed:
            if failure.cause not in VAGUE:
                self._found = None
                self._tell(failure)
            elif self._found is not None and self._found[0] is failure.cause:
                self._tell(failure, self._found[1])
            else:
                self._open = failure

    def look_into(self) -> None:
        """Find out about a handshake's failure that is still open, and tell it."""
        failure = self._open
        if failure is None:
            return
        found = None
        try:
            found = self._diagnose()
        except Exception:  # the link goes on, whatever a look meets
            _log.debug("no diagnosis", exc_info=True)
        with self._changed:
            self._found, self._open = (failure.cause, found), None
            self._tell(failure, found)
            self._changed.notify_all()

    def call_failed(self, failure: CallFailed, opened: bool) -> None:
        """A frame's call failed; ``opened``: and with it the link was given up for now."""
        with self._changed:
            if failure.cause is Cause.CLOSED:  # it was open before
                failure = CallFailed(failure.reason, str(failure), Cause.BROKEN)
            if opened:
                self._tell(failure, by_call=True)
            else:
                self._keep(failure)

    def handshake_succeeded(self) -> None:
        """Note that the server can be used."""
        with self._changed:
            self._found = None
            if self._outage.handshake_succeeded():
                self._back()
            elif not self._ever_ready:
                _log.info("the server %s has the same weights; the link is ready", self._server)
            self._ever_ready = True

    def call_succeeded(self) -> None:
        """Note that a frame's call was answered."""
        with self._changed:
            if self._outage.call_succeeded():
                self._back()

    def quotable(self, text: str) -> str:
        """The other side's ``text`` as it may stand in a log."""
        return peer_words(text, self._token)

    def _back(self) -> None:
        # As loud as what it takes back: who was warned wants to know.
        _log.warning("the server %s can be used now", self._server)

    def _keep(self, failure: CallFailed, found: Cause | None = None) -> Cause:
        """``found``: what a look found behind the failure."""
        cause = found or failure.cause
        said = self.quotable(str(failure))
        quoted = f" ({said})" if found is None and cause in _QUOTED and said else ""
        self.cause = cause
        self._words = f"{came_back(cause, _NAMES)}{quoted}; {what_to_do(cause, _NAMES)}"
        return cause

    def _tell(self, failure: CallFailed, found: Cause | None = None, by_call: bool = False) -> None:
        cause = self._keep(failure, found)
        if self._outage.failed(cause, time.monotonic(), by_call):
            _log.warning(
                "the server %s cannot be used: %s. Until then the device answers itself",
                self._server,
                self._words,
            )
