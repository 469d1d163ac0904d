"""Authenticates HTTP requests before their bodies are read, and counts them until their replies."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from splitfer.cloud_server.admission.admission import Admission, Caller
from splitfer.cloud_server.admission.caller import http_caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.oip.models import scope_of
from splitfer.shared.errors import SplitFerError

_KEY = "caller"
_OIP, _OIP_HEALTH, _OIP_MODELS = "/v2", "/v2/health/", "/v2/models/"
_SCOPES = {"/v1/faces": Scope.IMAGE, "/v1/latents": Scope.INFER}
_ADMIN = "/v1/admin/"
_ALL_BELOW = ("/v1/", "/edge/weights/")


class Doorkeeper:
    """ASGI middleware: what is below ``/v1``, ``/v2`` (but for health) and ``/edge/weights`` is for
    callers that may ask for it. ``refusal`` makes the reply to others."""

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        refusal: Callable[[Request, SplitFerError], Response],
    ) -> None:
        self._app, self._admission, self._refusal = app, admission, refusal

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not _is_guarded(path):
            return await self._app(scope, receive, send)
        try:
            caller = http_caller(self._admission, HTTPConnection(scope), _scope(path))
            scope.setdefault("state", {})[_KEY] = caller
            # Whether a model is ready is answered by a server that is not, too.
            admitted = None if path.endswith("/ready") else caller.request()
        except SplitFerError as error:
            return await self._refusal(Request(scope), error)(scope, receive, send)
        try:
            await self._app(scope, receive, send)
        finally:
            if admitted is not None:
                admitted.leave()


def caller_of(request: HTTPConnection) -> Caller:
    """The caller that the doorkeeper let in."""
    caller = request.scope["state"][_KEY]
    assert isinstance(caller, Caller)
    return caller


def _is_guarded(path: str) -> bool:
    if path.startswith(_ALL_BELOW):
        return True
    return (path == _OIP or path.startswith(f"{_OIP}/")) and not path.startswith(_OIP_HEALTH)


def _scope(path: str) -> Scope | None:
    if path.startswith(_ADMIN):
        return Scope.ADMIN
    if path.startswith(_OIP_MODELS) and path.endswith("/infer"):
        return scope_of(path.removeprefix(_OIP_MODELS).partition("/")[0])
    return _SCOPES.get(path)
