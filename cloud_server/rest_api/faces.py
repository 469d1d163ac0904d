"""REST around the service: a picture in, faces and answers out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.caller import http_caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.protocol.error_map import codes_of, http_headers, json_body
from splitfer.cloud_server.rest_api.admin import admin_routes
from splitfer.cloud_server.rest_api.body import FIELD, MULTIPART, BodyLimit, read_picture
from splitfer.cloud_server.rest_api.described_api import DescribedApi
from splitfer.cloud_server.rest_api.doorkeeper import Doorkeeper
from splitfer.cloud_server.rest_api.edge_page import edge_routes
from splitfer.cloud_server.rest_api.latents import latents_routes
from splitfer.cloud_server.rest_api.oip import is_oip, oip_error, oip_router
from splitfer.cloud_server.rest_api.page import page_routes
from splitfer.cloud_server.rest_api.schema import (
    DeadlineMs,
    ErrorBody,
    FacesBody,
    HealthBody,
    ModelBody,
    NotReadyBody,
    faces_body,
    model_body,
)
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.request import set_error
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, NotReady, SplitFerError, unexpected_error
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.version import server_version

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A JPEG, PNG or WebP picture: 8 bits a channel, not animated.",
        "content": {
            "image/jpeg": _BINARY,
            "image/png": _BINARY,
            "image/webp": _BINARY,
            "application/octet-stream": _BINARY,
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
_MEANINGS = {
    400: "The request or its multipart body cannot be read.",
    401: "The bearer token is missing or wrong.",
    403: "The token lacks the scope.",
    409: "No such tail is served here, or the weights do not have these labels or this prior.",
    413: "The body or the picture is over a limit.",
    415: "Not a kind of picture that is read here.",
    422: "The picture is damaged, or a parameter is wrong.",
    429: "The caller has had its share; try again after Retry-After.",
    500: "The server failed; its log says why.",
    503: "Overloaded, starting or draining; try again after Retry-After.",
    504: "The deadline passed.",
}
# Our one error body, instead of FastAPI's own, for what the framework itself refuses.
_FRAMEWORK_CODES = {404: "not_found", 405: "method_not_allowed"}
_EMPTY_IS_NONE = BeforeValidator(lambda word: word or None)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {s: {"model": ErrorBody, "description": _MEANINGS[s]} for s in statuses}


def build_app(
    config: CloudConfig,
    service: Service,
    admission: Admission,
    metrics: Metrics,
    registry: Registry,
    budget: ByteBudget,
) -> FastAPI:
    """The application; ``service`` must be started on the same event loop."""
    app = DescribedApi(
        title="SplitFER",
        version=server_version(),
        summary="Facial expressions in a picture.",
        description="Expressions are what a face shows, not what a person feels.",
        docs_url=None,  # FastAPI's loads scripts from elsewhere; see page.py
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go wherever the caller's Host says
        # Else FastAPI traces too, errors with their messages, for whoever set OpenTelemetry up.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(
        BodyLimit, body_bytes=config.limits.body_bytes, receive_s=config.receive_s, budget=budget
    )
    app.add_middleware(Doorkeeper, admission=admission, refusal=_answer_errors(app))

    @app.post(
        "/v1/faces",
        response_model=FacesBody,
        summary="Find and classify the faces in a picture",
        responses=_errors(*_MEANINGS),
        openapi_extra=_PICTURE_BODY,
    )
    async def faces(
        request: Request,
        tail: Annotated[
            str,
            Query(description="`local` (the backbone) or a cloud tail's id; empty: the default"),
        ] = "",
        labels: Annotated[
            LabelSet | None,
            _EMPTY_IS_NONE,
            Query(description="whose labels the answers are; empty for the weights' default"),
        ] = None,
        prior: Annotated[
            Prior | None,
            _EMPTY_IS_NONE,
            Query(
                description="how common the classes are taken to be: as in training, or all alike; "
                "empty for the server's default"
            ),
        ] = None,
        deadline_ms: DeadlineMs = None,
    ) -> FacesBody:
        start = time.perf_counter()
        deadline = Deadline.after_ms(deadline_ms or config.deadline_ms)
        try:
            # So that a caller which sends slowly, or stops, does not hold its place.
            async with asyncio.timeout(deadline.remaining_ms() / 1000):
                picture = await read_picture(request, config.limits.body_bytes)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the body was read") from None
        body = faces_body(await service.classify(picture, tail, deadline, labels, prior))
        body.latency_ms.total = round((time.perf_counter() - start) * 1000, 3)
        return body

    @app.get(
        "/v1/model",
        response_model=ModelBody,
        summary="What answers here, and its limits",
        responses=_errors(401, 503),
    )
    async def model() -> ModelBody:
        return model_body(service.model())

    @app.get("/healthz", response_model=HealthBody, summary="The process is alive")
    async def healthz() -> HealthBody:
        return HealthBody(status="ok")

    @app.get(
        "/readyz",
        response_model=HealthBody,
        summary="The server takes work",
        responses={503: {"model": NotReadyBody, "description": "The reason says why it does not."}},
    )
    async def readyz() -> HealthBody | JSONResponse:
        if admission.health.ready:
            return HealthBody(status="ready")
        reason = admission.health.reason
        error = NotReady(f"the server is {reason}")
        body = json_body(error.code, str(error), error.retryable)
        body |= {"status": "not_ready", "reason": reason}
        return JSONResponse(body, codes_of(error).http, http_headers(error))

    @app.get(
        "/metrics", response_class=Response, summary="For Prometheus", responses=_errors(401, 403)
    )
    async def measured(request: Request) -> Response:
        http_caller(admission, request, Scope.METRICS)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), media_type=content_type)

    app.include_router(latents_routes(service, config))
    app.include_router(oip_router(service, admission, config, budget))
    app.include_router(admin_routes(registry, config))
    turns = Turns()
    app.router.routes.extend(page_routes(turns))
    app.router.routes.extend(edge_routes(registry, turns))
    return app


def _answer_errors(app: FastAPI) -> Callable[[Request, SplitFerError], Response]:
    """Every error in the one shape, whoever raised it; below ``/v2`` in that protocol's. Gives what
    makes the reply to an error of ours."""

    def shaped(request: Request, code: str, message: str, retryable: bool) -> dict[str, Any]:
        # Not of ``request.url``, which is made of the caller's Host too.
        if is_oip(request.scope["path"]):
            return oip_error(message)
        return json_body(code, message, retryable)

    def reply(request: Request, error: SplitFerError) -> JSONResponse:
        set_error(error.code)
        body = shaped(request, error.code, str(error), error.retryable)
        return JSONResponse(body, codes_of(error).http, http_headers(error))

    @app.exception_handler(SplitFerError)
    async def ours(request: Request, error: SplitFerError) -> JSONResponse:
        return reply(request, error)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        message = f"{first['loc'][-1]}: {first['msg']}"
        set_error("bad_request")
        return JSONResponse(shaped(request, "bad_request", message, False), 422)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        # FastAPI reads JSON bodies itself, and hides what BodyLimit raised meanwhile.
        if isinstance(error.__cause__, SplitFerError):
            return reply(request, error.__cause__)
        code = _FRAMEWORK_CODES.get(error.status_code, "bad_request")
        message = f"{request.method} {request.scope['path']}: {error.detail}"
        set_error(code)
        body = shaped(request, code, message, False)
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        # Nobody reads it; without it the log would show a traceback for a caller that hung up.
        set_error("hung_up")
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def anything(request: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after this reply, and uvicorn logs it.
        return reply(request, unexpected_error())

    return reply
