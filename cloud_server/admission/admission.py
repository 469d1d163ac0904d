"""The one door: who asks, whether they may, and the count of what was let in.

    headers, address -> ``Admission.caller`` -> ``Caller.request`` -> work -> ``leave``

Nothing of a message or a body is read before a caller was let in.
"""

from __future__ import annotations

from typing import Self

from splitfer.cloud_server.admission.access import Access, Identity
from splitfer.cloud_server.admission.account import Account, work_for
from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.admission.rate_limit import RateLimiter
from splitfer.cloud_server.admission.refusals import Refusals
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.admission.turns import Turns

# Calls, requests and messages of streams that bring nothing to answer: of all callers together, one
# in so long. One costs the loop up to a millisecond.
_WORTHLESS_EVERY_S = 0.004


class Admission:
    """Lets callers in while the server takes work. Belongs to one event loop."""

    def __init__(self, access: Access, health: Health) -> None:
        self.access, self.health = access, health
        self.turns = Turns(_WORTHLESS_EVERY_S)
        self.refusals = Refusals()

    async def refused(self, caller: str, at_fault: bool) -> None:
        """Return when the caller may hear of a refusal, or ask on, by its own fault or not."""
        await (self.turns if at_fault else self.refusals).turn(caller)

    def caller(self, header: str | None, scope: Scope | None, peer: str | None) -> Caller:
        """Who sent this ``Authorization`` header from the address ``peer``, where it may ask for
        ``scope``; None asks only that it is known.

        Raises:
            AuthError, Forbidden: see ``Access.authenticate``.
        """
        return Caller(self, header, scope, peer)


class Caller:
    """One that may ask. A connection may keep it: where tokens or scopes have changed since, it is
    judged anew at its next request."""

    def __init__(
        self, admission: Admission, header: str | None, scope: Scope | None, peer: str | None
    ) -> None:
        self._admission = admission
        self._header, self._scope, self._peer = header, scope, peer
        self._judge()

    @property
    def name(self) -> str:
        """The name of the caller's identity."""
        return self._identity.name

    @property
    def account(self) -> Account:
        """What its work is charged to."""
        return self._identity.account

    def judge_anew(self) -> None:
        """Where tokens or scopes have changed, ask again whether it may ask. It is cheap. What the
        running task does from now on is its work.

        Raises:
            AuthError, Forbidden: its token or its scope was taken away.
        """
        if self._version != self._admission.access.version:
            self._judge()
        work_for(self._identity.account)
        self._admission.refusals.asked(self._identity.account.key)

    def answered(self) -> None:
        """Note that it got what it asked for."""
        self._admission.refusals.answered(self.account.key)

    async def pay_for_nothing(self, at_fault: bool = True) -> None:
        """Return when the next message of a caller may be read whose last one was no good, or had
        no time or room."""
        await self._admission.refused(self.account.key, at_fault)

    def request(self) -> Admitted:
        """Let one request in; it counts until ``Admitted.leave``.

        Raises:
            AuthError, Forbidden: the caller's token or its scope was taken away.
            OverQuota: the caller has had its share.
            NotReady: the server is starting or draining.
        """
        self.judge_anew()
        return Admitted(self._identity.allowance, self._admission.health.request())

    def _judge(self) -> None:
        access = self._admission.access
        self._identity: Identity = access.authenticate(self._header, self._scope, self._peer)
        self._version = access.version


class Admitted:
    """A request that was let in, until ``leave``."""

    __slots__ = ("_allowance", "_in_flight")

    def __init__(self, allowance: RateLimiter, in_flight: InFlight) -> None:
        allowance.enter()
        in_flight.enter()
        self._allowance, self._in_flight = allowance, in_flight

    def leave(self) -> None:
        """Count the request as ended."""
        self._allowance.leave()
        self._in_flight.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
