"""Turns that HTTP connections take for requests which brought nothing."""

from __future__ import annotations

import asyncio

from starlette.types import Scope

from splitfer.cloud_server.admission.access import address_of
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.rest_api.request_form import is_worthless
from splitfer.shared.wire import AUTHORIZATION

_SERVERS_FAULT = (503, 504)
_HEADER = AUTHORIZATION.encode()


class Dues:
    """Of one connection. A reply that brought nothing comes at once, and is paid for by a turn
    before the next request; where a crowd of its caller's wait, on whatever connections, it comes
    when it is its turn. Callers are told apart by their tokens, and else by their addresses."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._owed: str | None = None
        self._waits: asyncio.Task[None] | None = None

    @property
    def are_owed(self) -> bool:
        """Whether a turn is to be taken before the next request."""
        return self._owed is not None

    def before(self, scope: Scope, status: int) -> str | None:
        """The caller for whose turn the reply of this status to a request waits; None where it
        comes at once."""
        self._owed = None
        if not is_worthless(scope, status):
            return None
        caller = self._caller(scope)
        if status in _SERVERS_FAULT or self._admission.turns.is_crowd(caller):
            return caller
        self._owed = caller
        return None

    def before_refusal(self, address: str) -> str | None:
        """The same of what is no request; the connection is over then."""
        caller = address_of(address)
        if self._admission.turns.is_crowd(caller):
            return caller
        self._admission.turns.owe(caller)
        return None

    async def turn(self, caller: str, status: int) -> None:
        """Return when the reply may go out, or nobody waits for it any more."""
        turn = self._admission.refused(caller, status not in _SERVERS_FAULT)
        self._waits = asyncio.create_task(turn)
        try:
            await asyncio.wait((self._waits,))
        finally:
            self._waits.cancel()

    def stay_owed(self) -> None:
        """Note that the connection ends with what it owes; its caller's next ones wait for it."""
        if self._owed is not None:
            self._admission.turns.owe(self._owed)
            self._owed = None

    async def pay(self) -> None:
        """Return when what is owed is paid."""
        assert self._owed is not None
        await self._admission.turns.turn(self._owed)
        self._owed = None

    def leave(self) -> None:
        """The connection is over: nobody waits for a reply of it."""
        if self._waits is not None:
            self._waits.cancel()

    def _caller(self, scope: Scope) -> str:
        header = next((value for name, value in scope["headers"] if name == _HEADER), None)
        said = None if header is None else header.decode("latin-1")
        client = scope.get("client")
        return self._admission.access.key_of(said, client[0] if client else None)
