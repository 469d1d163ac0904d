"""Answers posted to an address: retried until they are taken, in order, signed.

POST target   {"answers": [{"id": ..., "late": ..., ...}, ...]}
X-SplitFER-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>", hex>
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.outbox_file import Waiting
from splitfer.edge_client.sinks.reader import LATE_S, message_body, waits
from splitfer.edge_client.web_address import WebAddress
from splitfer.shared.deadline import Clock

READER = "webhook"
"""The outbox's reader."""

SIGNATURE = "X-SplitFER-Signature"
ANSWERS_A_POST = 50
TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.2
_CLOSE_S = 3.0
_LONGEST_RETRY_AFTER_S = 3600.0
# What another try of the same words would not change.
_REFUSED = (400, 413, 415, 422)

_log = logging.getLogger(__name__)


class Refused(Exception):
    """It does not take these answers, and never will."""


class Webhook:
    """Posts what waits in ``outbox`` for ``READER`` until it is closed.

    What the address answers with 2xx is taken. 400, 413, 415 and 422 refuse the answers: of
    several, each is tried alone, and what is refused then is counted and left out. Everything else
    is tried again, after what ``Retry-After`` says or after longer and longer waits. Redirects are
    not followed, and proxies not used. ``context`` is of TLS.
    """

    def __init__(
        self,
        address: WebAddress,
        outbox: Outbox,
        secret: bytes | None = None,
        context: ssl.SSLContext | None = None,
        version: str = "",
        wall: Clock = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.fault: str | None = None
        self._address, self._outbox, self._secret = address, outbox, secret
        self._context, self._agent = context, f"splitfer-edge/{version}"
        self._wall, self._jitter = wall, jitter
        self._worked = False
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def report(self) -> dict[str, Any]:
        """The state of the webhook, for the health report."""
        return {"address": str(self._address), "fault": self.fault}

    def close(self) -> None:
        """Post what waits, where it is taken at once. Again does nothing."""
        self._closed.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        for _ in waits(self._closed, self._jitter, lambda: self._worked):
            self._worked = False
            try:
                while not self._closed.wait(0 if self._post_some() else _LOOK_EVERY_S):
                    pass
                while self._post_some():
                    pass
            except (OSError, http.client.HTTPException, ssl.SSLError) as error:
                self._failed(getattr(error, "strerror", None) or str(error) or type(error).__name__)
            except Exception:  # the thread serves for a year; whatever it meets, it tries again
                _log.exception("webhook: unexpected")
                self._failed("unexpected, see the log")
            self._hang_up()
        self._hang_up()

    def _post_some(self) -> bool:
        """Whether something was posted."""
        answers = self._outbox.waiting(READER, ANSWERS_A_POST)
        if not answers:
            return False
        try:
            self._post(answers)
        except Refused:
            for one in answers:
                try:
                    self._post([one])
                except Refused as error:
                    _log.error("webhook: answer %s is refused (%s), and left out", one.id, error)
                    self._outbox.done(READER, one.seq, refused=True)
        return True

    def _post(self, answers: Sequence[Waiting]) -> None:
        late_s = 0.0 if self.fault is not None else LATE_S
        parts = [message_body(one, self._outbox.age_s(one) > late_s) for one in answers]
        body = b'{"answers": [' + b", ".join(parts) + b"]}"
        status, retry_after_s = self._request(body)
        if 200 <= status < 300:
            self._outbox.done(READER, answers[-1].seq)
            self._worked = True
            if self.fault is not None:
                _log.warning("webhook: %s can be used now", self._address)
            self.fault = None
            return
        if status in _REFUSED:
            raise Refused(f"HTTP {status}")
        if retry_after_s:
            self._closed.wait(retry_after_s)
        raise OSError(f"it answers {status}" + (", a redirect" if 300 <= status < 400 else ""))

    def _request(self, body: bytes) -> tuple[int, float]:
        headers = {"Content-Type": "application/json", "User-Agent": self._agent}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, int(self._wall()), body)
        kept = self._connection is not None
        try:
            reply = self._exchange(body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._hang_up()
            if not kept:
                raise
            # The other side had closed what was kept. It knows by the ids what it took already.
            reply = self._exchange(body, headers)
        if reply.will_close or reply.length:
            self._hang_up()
        return reply.status, _seconds(reply.headers.get("Retry-After"))

    def _exchange(self, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            host, port = self._address.host, self._address.port
            if self._address.tls:
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=TIMEOUT_S, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        self._connection.request("POST", self._address.target, body, headers)
        reply = self._connection.getresponse()
        reply.read(1 << 16)
        return reply

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, words: str) -> None:
        if words != self.fault:
            self.fault = words
            _log.warning("webhook: %s cannot be used: %s; it is tried again", self._address, words)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """What the header of a post says; whoever has ``secret`` can make it again."""
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def _seconds(retry_after: str | None) -> float:
    """Of ``Retry-After`` the seconds; 0 where it names a date, or nothing that is understood."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return 0.0
    return min(float(retry_after[:9]), _LONGEST_RETRY_AFTER_S)
