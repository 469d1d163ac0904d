"""All of HTTP: the application, and around it what holds for every request."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.protocol.error_map import codes_of, http_headers, json_body
from splitfer.cloud_server.rest_api.faces import build_app
from splitfer.cloud_server.rest_api.observer import HttpObserver
from splitfer.cloud_server.rest_api.oip import HEADER_LENGTH
from splitfer.cloud_server.rest_api.safe_headers import SafeHeaders
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import REQUEST_ID, set_error
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.errors import NotReady
from splitfer.shared.wire import DEADLINE_HEADER, FINGERPRINT_HEADER

_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_ASKED = (
    "Authorization",
    "Content-Type",
    DEADLINE_HEADER,
    FINGERPRINT_HEADER,
    HEADER_LENGTH,
    REQUEST_ID,
)
_TOLD = ("Retry-After", "WWW-Authenticate", HEADER_LENGTH, REQUEST_ID)
_KEPT_S = 600


def http_app(
    config: CloudConfig,
    service: Service,
    admission: Admission,
    observer: Observer,
    metrics: Metrics,
    registry: Registry,
    budget: ByteBudget,
    alone: bool = True,
) -> HttpObserver:
    """What an HTTP server runs; ``service`` must be started on the same event loop. ``alone``: it
    is our own server, with no other one around it that puts ids in replies and ends requests."""
    app: ASGIApp = build_app(config, service, admission, metrics, registry, budget)
    if origins := config.cors_origins:
        app = _Cors(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_ASKED,
            expose_headers=_TOLD,
            max_age=_KEPT_S,
        )
    app = SafeHeaders(Ended(app) if alone else app)
    return HttpObserver(app, observer, tells_id=alone)


class Ended:
    """ASGI middleware: a request that is cancelled, as the server does with what is left when its
    drain is over, gets our refusal where nothing was answered yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except asyncio.CancelledError:
            error = NotReady("the server is stopping")
            set_error(error.code)
            if started:
                raise
            body = json_body(error.code, str(error), error.retryable)
            refusal = JSONResponse(body, codes_of(error).http, http_headers(error))
            await refusal(scope, receive, send)


class _Cors(CORSMiddleware):
    """CORS, with refusals in our one shape."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser's preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
        said = bytes(response.body).decode()
        return JSONResponse(json_body("forbidden", said, False), response.status_code, headers)
