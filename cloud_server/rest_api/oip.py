"""The Open Inference Protocol over HTTP: ``/v2`` and what is below it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.oip.models import (
    EXTENSIONS,
    OUTPUTS,
    PLATFORM,
    SERVER_NAME,
    OipModels,
)
from splitfer.cloud_server.oip.tensor import TensorSpec
from splitfer.cloud_server.protocol.error_map import RETRY_AFTER_S
from splitfer.cloud_server.rest_api.oip_binary import (
    JsonBounds,
    objects_bytes,
    read_infer,
    write_reply,
)
from splitfer.cloud_server.rest_api.oip_schema import (
    LiveBody,
    ModelReadyBody,
    OipErrorBody,
    OipModelBody,
    ReadyBody,
    ReplyBody,
    ServerBody,
    TensorBody,
)
from splitfer.cloud_server.rest_api.schema import DeadlineMs
from splitfer.cloud_server.service.service import Service
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded
from splitfer.shared.version import server_version

PREFIX = "/v2"
HEADER_LENGTH = "Inference-Header-Content-Length"
_AT_ONCE_BYTES = 32 * 2**10
_MEANINGS = {
    400: "The request cannot be read, or does not fit the model.",
    401: "The bearer token is missing or wrong.",
    403: "The token lacks the scope.",
    404: "No such model, or no such version of it.",
    413: "The body or the number of faces is over a limit.",
    429: "The caller has had its share; try again after Retry-After.",
    422: "A header or a part of the path is wrong.",
    500: "The server failed; its log says why.",
    503: "Overloaded, starting or draining; try again after Retry-After.",
    504: "The deadline passed.",
}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}, "description": "flat, or nested as the shape is"},
    },
}
_INFER_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "schema": {"type": "integer", "minimum": 0},
            "description": "bytes of the JSON, where raw tensors follow it",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "parameters": {
                            "type": "object",
                            "description": "rate, labels, timeout (microseconds), "
                            "binary_data_output",
                        },
                        "inputs": {"type": "array", "items": _TENSOR},
                        "outputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "parameters": {"type": "object"},
                                },
                            },
                        },
                    },
                }
            },
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": f"the same JSON, {HEADER_LENGTH} bytes of it, and raw tensors",
                }
            },
        },
    },
}


def is_oip(path: str) -> bool:
    """Whether errors at ``path`` are to look as this protocol wants them."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def oip_error(message: str) -> dict[str, str]:
    """The body of every error of this protocol."""
    return {"error": message}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {s: {"model": OipErrorBody, "description": _MEANINGS[s]} for s in statuses}


def oip_router(
    service: Service, admission: Admission, config: CloudConfig, budget: ByteBudget
) -> APIRouter:
    """The routes. Whoever includes them answers ``SplitFerError`` with ``oip_error``."""
    router = APIRouter(tags=["Open Inference Protocol"])
    models = OipModels(service, config.limits.faces_per_frame)

    @router.get(PREFIX, summary="The server's name and version", responses=_errors(401, 503))
    @router.get(f"{PREFIX}/", include_in_schema=False)
    async def server() -> ServerBody:
        return ServerBody(name=SERVER_NAME, version=server_version(), extensions=list(EXTENSIONS))

    @router.get(f"{PREFIX}/health/live", summary="The process is alive")
    async def live() -> LiveBody:
        return LiveBody(live=True)

    @router.get(
        f"{PREFIX}/health/ready",
        response_model=ReadyBody,
        summary="The server takes work",
        responses={503: {"model": ReadyBody, "description": "It does not."}},
    )
    async def ready() -> Response | ReadyBody:
        return ReadyBody(ready=True) if admission.health.ready else _not_ready({"ready": False})

    def described(name: str, version: str) -> OipModelBody:
        model = models.find(name, version)
        return OipModelBody(
            name=model.name,
            versions=list(model.versions),
            platform=PLATFORM,
            inputs=[_tensor(model.input)],
            outputs=[_tensor(spec) for spec in OUTPUTS],
        )

    @router.get(
        f"{PREFIX}/models/{{name}}",
        summary="A model's inputs and outputs",
        responses=_errors(401, 404, 422, 503),
    )
    async def model(name: str) -> OipModelBody:
        return described(name, "")

    @router.get(
        f"{PREFIX}/models/{{name}}/versions/{{version}}",
        summary="The same of one version",
        responses=_errors(401, 404, 422, 503),
    )
    async def model_version(name: str, version: str) -> OipModelBody:
        return described(name, version)

    def readiness(name: str, version: str) -> Response | ModelReadyBody:
        models.find(name, version)
        if admission.health.ready:
            return ModelReadyBody(name=name, ready=True)
        return _not_ready({"name": name, "ready": False})

    unready: dict[int | str, dict[str, Any]] = {
        503: {"model": ModelReadyBody, "description": "It does not."}
    }

    @router.get(
        f"{PREFIX}/models/{{name}}/ready",
        response_model=ModelReadyBody,
        summary="The model takes work",
        responses=_errors(401, 404, 422) | unready,
    )
    async def model_ready(name: str) -> Response | ModelReadyBody:
        return readiness(name, "")

    @router.get(
        f"{PREFIX}/models/{{name}}/versions/{{version}}/ready",
        response_model=ModelReadyBody,
        summary="The same of one version",
        responses=_errors(401, 404, 422) | unready,
    )
    async def version_ready(name: str, version: str) -> Response | ModelReadyBody:
        return readiness(name, version)

    async def inferred(
        request: Request, name: str, version: str, deadline_ms: float | None
    ) -> Response:
        model = models.find(name, version)
        deadline = Deadline.after_ms(deadline_ms or config.deadline_ms)
        try:
            # So that a caller which sends slowly, or stops, does not hold its place.
            async with asyncio.timeout(deadline.remaining_ms() / 1000):
                body = await _body(request)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the body was read") from None
        header_length = request.headers.get(HEADER_LENGTH)
        with Held(budget, current_account().key, objects_bytes(body, header_length)):
            if len(body) < _AT_ONCE_BYTES:
                asked = read_infer(body, header_length)
            else:  # not on the loop, which answers everybody
                asked = await asyncio.to_thread(read_infer, body, header_length)
            outputs = await models.infer(
                model, asked.inputs, asked.parameters, asked.outputs, deadline
            )
        reply, json_bytes = write_reply(asked, model, outputs)
        if json_bytes is None:
            return Response(reply, media_type="application/json")
        headers = {HEADER_LENGTH: str(json_bytes)}
        return Response(reply, headers=headers, media_type="application/octet-stream")

    infer_route: dict[str, Any] = {
        "response_model": ReplyBody,
        "responses": _errors(*_MEANINGS),
        "openapi_extra": _INFER_REQUEST,
    }

    @router.post(f"{PREFIX}/models/{{name}}/infer", summary="Ask a model", **infer_route)
    async def infer(request: Request, name: str, deadline_ms: DeadlineMs = None) -> Response:
        return await inferred(request, name, "", deadline_ms)

    @router.post(
        f"{PREFIX}/models/{{name}}/versions/{{version}}/infer",
        summary="Ask one version of a model",
        **infer_route,
    )
    async def infer_version(
        request: Request, name: str, version: str, deadline_ms: DeadlineMs = None
    ) -> Response:
        return await inferred(request, name, version, deadline_ms)

    return router


async def _body(request: Request) -> bytes:
    bounds, parts = JsonBounds(request.headers.get(HEADER_LENGTH)), list[bytes]()
    async for part in request.stream():
        bounds.take(part)
        parts.append(part)
    return b"".join(parts)


def _tensor(spec: TensorSpec) -> TensorBody:
    return TensorBody(name=spec.name, datatype=spec.datatypes[0], shape=list(spec.shape))


def _not_ready(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, 503, {"Retry-After": str(RETRY_AFTER_S)})
