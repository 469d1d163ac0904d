"""How often, and how much at once, one caller may ask."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import AuthError, OverQuota


class _Debts:
    """What was used may be more than was there; time pays for ``per_s`` of it a second. There is
    never more to spend than what a second pays for. None bounds nothing."""

    def __init__(self, what: str, per_s: float | None, now_s: float) -> None:
        self._what, self._per_s = what, per_s
        self._level, self._filled_s = per_s or 0.0, now_s

    def change(self, per_s: float | None, now_s: float) -> None:
        """Use other bounds from now on; a debt stays."""
        self._fill(now_s)
        self._level = min(self._level, per_s or 0.0) if self._per_s else per_s or 0.0
        self._per_s = per_s

    def check(self, now_s: float) -> None:
        """Return where something is left.

        Raises:
            OverQuota: there is a debt; says when it is paid.
        """
        if self._per_s is None:
            return
        self._fill(now_s)
        if self._level <= 0:
            wait_s = max(1e-3, -self._level / self._per_s)
            raise OverQuota(f"more than {self._per_s:g} {self._what} of this caller", wait_s)

    def charge(self, much: float) -> None:
        """Charge what was used."""
        if self._per_s is not None:
            self._level -= much

    def _fill(self, now_s: float) -> None:
        if self._per_s is not None:
            paid = (now_s - self._filled_s) * self._per_s
            self._level = min(self._per_s, self._level + paid)
        self._filled_s = now_s


class RateLimiter:
    """What one caller may still ask: a bucket of requests that time refills, places for those that
    are in flight, and what it owes for faces and for work. Belongs to one thread.

    A refused request costs the caller nothing.
    """

    def __init__(self, limits: CallerLimits, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._limits = limits
        self._level = limits.most_at_once
        self._filled_s = clock()
        self._faces = _Debts("faces a second", limits.faces_per_s, self._filled_s)
        self._busy = _Debts("seconds of work a second", limits.busy_share, self._filled_s)
        self._in_flight = 0
        self._revoked = False

    def change(self, limits: CallerLimits) -> None:
        """Use other bounds from now on. Requests in flight stay, and count."""
        self._fill()
        if self._limits.requests_per_s is None:
            self._level = limits.most_at_once  # nothing was counted so far
        self._limits = limits
        self._level = min(self._level, limits.most_at_once)
        self._faces.change(limits.faces_per_s, self._filled_s)
        self._busy.change(limits.busy_share, self._filled_s)

    def revoke(self) -> None:
        """Let no further request in. Those in flight stay."""
        self._revoked = True

    def enter(self) -> None:
        """Let one request in; ``leave`` once it has ended.

        Raises:
            OverQuota: the caller has had its share; says when to try again.
            AuthError: the caller was revoked.
        """
        if self._revoked:
            raise AuthError("the token is no longer one that this server knows")
        most = self._limits.concurrent
        if most is not None and self._in_flight >= most:
            raise OverQuota(f"{most} requests of this caller are in flight already")
        if self._limits.faces_per_s is not None or self._limits.busy_share is not None:
            now_s = self._clock()
            self._faces.check(now_s)
            self._busy.check(now_s)
        rate = self._limits.requests_per_s
        if rate is not None:
            self._fill()
            if self._level < 1:
                wait_s = (1 - self._level) / rate
                raise OverQuota(f"more than {rate:g} requests a second of this caller", wait_s)
            self._level -= 1
        self._in_flight += 1

    def leave(self) -> None:
        """A request that was let in has ended."""
        self._in_flight -= 1

    def charge_faces(self, count: int) -> None:
        """Charge the faces of a request."""
        self._faces.charge(count)

    def charge_busy(self, seconds: float) -> None:
        """Charge the time that networks or workers were busy."""
        self._busy.charge(seconds)

    def request(self) -> AbstractContextManager[None]:
        """One request, from ``enter`` to ``leave``."""
        return self

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def _fill(self) -> None:
        now_s = self._clock()
        if self._limits.requests_per_s is not None:
            gained = (now_s - self._filled_s) * self._limits.requests_per_s
            self._level = min(self._limits.most_at_once, self._level + gained)
        self._filled_s = now_s
