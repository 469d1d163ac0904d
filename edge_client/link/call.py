"""One call to the server, under way in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

from splitfer.edge_client.link.call_cause import cause_of_call, plain_words
from splitfer.edge_client.link.reasons import code_of_call, reason_of_call
from splitfer.shared.cause import Cause
from splitfer.shared.contracts import Reason
from splitfer.shared.errors import LinkError

T = TypeVar("T")
# From gRPC's length prefix; HTTP/2 and TCP add more, which no client can see.
FRAMING_BYTES = 5


# Where nothing but the reason is known.
_CAUSES = {
    Reason.LINK_DOWN: Cause.BROKEN,
    Reason.BREAKER_OPEN: Cause.BROKEN,
    Reason.DEADLINE: Cause.NO_ANSWER,
    Reason.MODEL_MISMATCH: Cause.MODEL_MISMATCH,
    Reason.OVERLOADED: Cause.OVERLOADED,
    Reason.NOT_READY: Cause.NOT_READY,
    Reason.UNAUTHORISED: Cause.UNAUTHORISED,
    Reason.SERVER_ERROR: Cause.SERVER_ERROR,
}


class CallFailed(LinkError):
    """A call brought no answer; ``reason`` says why the edge answers alone, ``cause`` what is
    wrong with the server or the way to it."""

    def __init__(self, reason: Reason, detail: str, cause: Cause | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.cause = cause or _CAUSES[reason]

    @classmethod
    def of(cls, error: Any) -> CallFailed:
        """The failure that gRPC's error of a call stands for."""
        details = plain_words(error.details() or "")
        cause = cause_of_call(error.code(), details, code_of_call(error))
        return cls(reason_of_call(error), details or str(error.code()), cause)


class Call(Generic[T]):
    """A call that was sent: wait for it, ask for its result, or leave it.

    ``future`` is gRPC's, or a stream's, whose error may be a ``CallFailed`` already. ``sent_s`` is
    the monotonic instant at which it was sent. ``checksum_matches`` says whether a reply is whole
    and this call's own. ``on_end`` is called once, from the future's thread, when it ended;
    ``done_s`` is the monotonic instant of its end.
    """

    def __init__(
        self,
        future: grpc.Future[T],
        sent_s: float,
        checksum_matches: Callable[[T], bool],
        on_end: Callable[[Call[T]], None],
    ) -> None:
        self.sent_s = sent_s
        self.done_s: float | None = None
        self.abandoned = False
        self._future: Any = future
        self._checksum_matches = checksum_matches
        self._damaged = False
        self._ended = threading.Event()
        self._on_end = on_end
        future.add_done_callback(self._end)

    def wait(self, seconds: float) -> bool:
        """Whether the call ended within ``seconds``."""
        return self._ended.wait(max(0.0, seconds))

    def abandon(self) -> None:
        """Nobody waits any more; the answer is counted when it comes, and thrown away."""
        self.abandoned = True

    def failure(self) -> CallFailed | None:
        """Why an ended call failed; None where it was answered."""
        if self._future.cancelled():
            return CallFailed(Reason.LINK_DOWN, "the connection was closed")
        error = self._future.exception()
        if self._damaged:
            return CallFailed(Reason.SERVER_ERROR, "the reply was damaged, or is another call's")
        if error is None or isinstance(error, CallFailed):
            return error
        return CallFailed.of(error)

    def result(self) -> T:
        """The reply of an ended call.

        Raises:
            CallFailed: there is none.
        """
        if failure := self.failure():
            raise failure
        reply: T = self._future.result()
        return reply

    def _end(self, _: object) -> None:
        self.done_s = time.monotonic()
        if not self._future.cancelled() and self._future.exception() is None:
            reply: T | None = self._future.result()
            # Without a message: gRPC takes a damaged stream for a reply that never had one.
            self._damaged = reply is None or not self._checksum_matches(reply)
        self._on_end(self)
        self._ended.set()
