"""Around every HTTP request: the observer's work, and the id in the reply's headers."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import OK, REQUEST_ID

# What asks for these is not a caller but the machinery around the server.
_PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_OTHER = "other"
_CODES = {
    401: "unauthorised",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "overloaded",
}


class HttpObserver:
    """ASGI middleware, the outermost one, so that nothing is answered behind its back.

    ``tells_id``: no server around it puts the request's id in the reply, so that this does.
    """

    def __init__(self, app: ASGIApp, observer: Observer, tells_id: bool = True) -> None:
        self._app = app
        self._tells_id = tells_id
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        asked = scope["method"]
        if asked == "HEAD":
            # Answered as GET is; whoever writes the reply to the wire leaves its body out.
            scope = {**scope, "method": "GET"}
        if scope["path"] in _PROBES:
            return await self._app(scope, receive, send)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        request = self._observer.begin("http", _OTHER, headers)
        status = 500

        async def counted_receive() -> Message:
            message = await receive()
            request.received_bytes += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._tells_id:
                    id_header = (REQUEST_ID.encode(), request.id.encode())
                    message["headers"] = [*message.get("headers", ()), id_header]
            request.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            request.method = _method(scope, asked)
            request.code = request.code or _code(status)
            self._observer.end(request)


def _method(scope: Scope, asked: str) -> str:
    """Method and route as the server knows them: a peer's own words would be labels without
    end."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    if path is None or asked not in _METHODS:
        return _OTHER
    return f"{asked} {path}"


def _code(status: int) -> str:
    if status < 400:
        return OK
    return _CODES.get(status, "bad_request" if status < 500 else "internal")
