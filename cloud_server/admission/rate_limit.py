"""How often, and how much at once, one caller may ask."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from splitfer.cloud_server.config import CallerLimits
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import AuthError, OverQuota


class RateLimiter:
    """What one caller may still ask: a bucket of requests that time refills, and places for those
    that are in flight. Belongs to one thread.

    A refused request costs the caller nothing.
    """

    def __init__(self, limits: CallerLimits, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._limits = limits
        self._level = limits.most_at_once
        self._filled_s = clock()
        self._in_flight = 0
        self._revoked = False

    def change(self, limits: CallerLimits) -> None:
        """Other bounds from now on. Requests in flight stay, and count."""
        self._fill()
        if self._limits.requests_per_s is None:
            self._level = limits.most_at_once  # nothing was counted so far
        self._limits = limits
        self._level = min(self._level, limits.most_at_once)

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
