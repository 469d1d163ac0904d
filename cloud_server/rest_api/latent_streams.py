"""``/v1/latents/stream``: who may open a WebSocket of latents, and how many are open."""

from __future__ import annotations

import base64
import binascii
import contextlib
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from splitfer.cloud_server.admission import tokens
from splitfer.cloud_server.admission.admission import Admission, Caller
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.protocol.choices import wanted_labels
from splitfer.cloud_server.protocol.error_map import codes_of, http_headers, json_body
from splitfer.cloud_server.rest_api.latent_stream import OfConnection, WebSocketWire
from splitfer.cloud_server.rest_api.safe_headers import SAFE
from splitfer.cloud_server.rest_api.websocket import charge
from splitfer.cloud_server.service.frame_stream import FrameStream, OpenStreams, StreamBounds
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.service.stream_wire import End
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.shared.errors import (
    Forbidden,
    MalformedPayload,
    Overloaded,
    SplitFerError,
    is_callers_fault,
    unexpected_error,
)
from splitfer.shared.wire import AUTHORIZATION

# Browsers send no header of their own with a handshake, but words of subprotocols: the second
# carries a token, in URL-safe base64 without its padding.
SUBPROTOCOL = "splitfer.latents"
TOKEN_PREFIX = "splitfer.token."
_METHOD = "GET /v1/latents/stream"


class LatentStreams:
    """ASGI application: the WebSockets that are open. All else goes to ``app``."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        admission: Admission,
        observer: Observer,
        budget: ByteBudget,
        config: CloudConfig,
    ) -> None:
        self._app, self._service, self._budget = app, service, budget
        self._admission, self._observer = admission, observer
        self._most, self._origins = config.latent_streams_max, config.cors_origins
        self._bounds = StreamBounds(config.stream_in_flight, config.deadline_ms)
        self._idle_s, self._faces_max = config.keep_alive_s, config.limits.faces_per_frame
        self._open = OpenStreams()

    @property
    def offered(self) -> bool:
        """Whether the settings allow any."""
        return self._most > 0 and self._bounds.in_flight > 0

    def drain(self) -> None:
        """They end once what they have read is answered."""
        self._open.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, or one request."""
        if scope["type"] != "websocket":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        request = self._observer.begin("http", _METHOD, headers)
        try:
            caller, of = self._admitted(scope, headers)
            charge(scope, Held(self._budget, caller.account.key))
        except Exception as raised:
            error = raised if isinstance(raised, SplitFerError) else unexpected_error()
            request.code = error.code
            return await self._refuse(error, scope, receive, send)
        finally:
            self._observer.end(request)
        wire = WebSocketWire(receive, send, of, self._idle_s)
        stream = FrameStream(
            self._service, caller, self._observer, self._budget, self._bounds, wire
        )
        with self._open.holding(stream), contextlib.suppress(OSError):  # it has gone
            chosen = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
            await receive()  # that it wants to be accepted
            await send({"type": "websocket.accept", "subprotocol": chosen})
            end: End | SplitFerError
            try:
                end = await stream.run()
            except SplitFerError as no_message:
                end = no_message
            await wire.close(end)

    def _admitted(self, scope: Scope, headers: Headers) -> tuple[Caller, OfConnection]:
        """Who asks, and for what, before anything of a message is read."""
        if not self._is_known_origin(headers):
            raise Forbidden("a page of another origin may not ask: see cors_origins")
        header = headers.get(AUTHORIZATION) or _of_subprotocol(scope["subprotocols"])
        peer = scope["client"][0] if scope.get("client") else None
        caller = self._admission.caller(header, tokens.Scope.INFER, peer)
        self._admission.health.request()  # starting or draining
        if len(self._open) >= self._most:
            raise Overloaded(f"{self._most} streams are open already")
        query = QueryParams(scope["query_string"])
        fingerprint = query.get("fingerprint", "")
        if not fingerprint:
            raise MalformedPayload("fingerprint: name the weights that made the latents")
        labels = wanted_labels(query.get("labels", ""))
        return caller, OfConnection(fingerprint, query.get("tail", ""), labels, self._faces_max)

    async def _refuse(
        self, error: SplitFerError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """In the shape of every other error, before a WebSocket is one, and by turns as those."""
        client = scope["client"][0] if scope.get("client") else None
        key = self._admission.access.key_of(Headers(scope=scope).get(AUTHORIZATION), client)
        await self._admission.refused(key, is_callers_fault(error))
        body = json_body(error.code, str(error), error.retryable)
        response = JSONResponse(body, codes_of(error).http, http_headers(error))
        response.raw_headers.extend(SAFE)
        await response(scope, receive, send)

    def _is_known_origin(self, headers: Headers) -> bool:
        """Browsers ask nobody before a page opens a WebSocket to anywhere."""
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        try:
            return urlsplit(origin).netloc == headers.get("host", "").lower() != ""
        except ValueError:  # no address at all
            return False


def _of_subprotocol(words: list[str]) -> str | None:
    """The ``Authorization`` that a subprotocol stands for."""
    for word in words:
        if word.startswith(TOKEN_PREFIX):
            packed = word.removeprefix(TOKEN_PREFIX)
            try:
                token = base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True)
                return f"Bearer {token.decode()}"
            except (binascii.Error, UnicodeDecodeError):
                return "Bearer "  # refused as any other word that is no token
    return None
