"""Whose work is under way: what is fair among callers, and what each is charged for."""

from __future__ import annotations

from contextvars import ContextVar

from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.settings.caller_limits import CallerLimits


class Account:
    """One caller: ``key`` tells it from others, and what is done for it is charged to its
    allowance. Requests of one token share a key, and strangers those of one address."""

    __slots__ = ("_allowance", "key")

    def __init__(self, key: str, allowance: RateLimiter) -> None:
        self.key, self._allowance = key, allowance

    def charge_faces(self, count: int) -> None:
        """Charge the faces of a request."""
        self._allowance.charge_faces(count)

    def charge_busy(self, seconds: float) -> None:
        """A network or a worker was busy for it for so long."""
        self._allowance.charge_busy(seconds)


NOBODY = Account("", RateLimiter(CallerLimits()))
_current: ContextVar[Account] = ContextVar("account", default=NOBODY)


def current_account() -> Account:
    """The account of the running task's caller; ``NOBODY`` where no caller was let in."""
    return _current.get()


def work_for(account: Account) -> None:
    """Charge this account for what the running task, and tasks that it starts, do from now on."""
    _current.set(account)
