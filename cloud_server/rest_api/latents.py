"""Latents over HTTP: what gRPC's ``Infer`` does, for browsers and microcontrollers.

The body is a frame's payloads, each behind its length (2 bytes, big endian); fingerprint and what
remains of the deadline stand in headers.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, BeforeValidator, Field

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.rest_api.body import ANSWERS_NOTHING
from splitfer.cloud_server.rest_api.schema import DeadlineMs, ErrorBody, ErrorDetail, error_detail
from splitfer.cloud_server.service.results import FaceResult, Inferred
from splitfer.cloud_server.service.service import Service
from splitfer.shared.contracts import REPLY_VERSION, Limits
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    MalformedPayload,
    PayloadTooLarge,
    SplitFerError,
)
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.wire import FINGERPRINT_HEADER

LENGTH_BYTES = 2
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One payload a face (docs/api/payload.md), each behind its length: 2 bytes, "
        "big endian.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ABOUT = (
    "What gRPC's Infer does, for browsers and microcontrollers. For live use there is a WebSocket, "
    "`/v1/latents/stream?fingerprint=...`, that carries the same body behind 16 bytes (the "
    "message's id, 4; what remains of its deadline in ms, 4; the sender's clock in ms, 8; all big "
    "endian), and answers each with this reply, or this error, and its `id`: docs/api/stream.md."
)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": meaning}
    for status, meaning in {
        400: "The body is not payloads behind their lengths.",
        401: "The bearer token is missing or wrong.",
        403: "The token lacks the scope.",
        409: "Other weights made the latents, no such tail is served here, or it does not answer "
        "these labels.",
        413: "Too many faces, or too many bytes.",
        422: "A parameter is wrong.",
        429: "The caller has had its share; try again after Retry-After.",
        500: "The server failed; its log says why.",
        503: "Overloaded, starting or draining; try again after Retry-After.",
        504: "The deadline passed.",
    }.items()
}


class LatentAnswer(BaseModel):
    """What one payload was answered with."""

    label: str = Field(examples=["happy"], description="the most probable")
    probabilities: dict[str, float] = Field(description="calibrated, natural; float32")
    model: str = Field(description="<fingerprint>/<tail>")
    labels: LabelSet = Field(description="whose labels these are")


class LatentError(BaseModel):
    """Why one payload has no answer; the others of the frame keep theirs."""

    error: ErrorDetail


class ServerTimeBody(BaseModel):
    """Milliseconds; null where the tail did not run."""

    tail: float | None = Field(description="the tail alone, queueing not counted")
    total: float | None = Field(description="from the request's arrival to its answer")


class LatentsBody(BaseModel):
    """A frame's answers, in the order of its payloads."""

    schema_version: int
    faces: list[LatentAnswer | LatentError]
    latency_ms: ServerTimeBody
    checksum: int = Field(
        ge=0,
        lt=2**32,
        description="CRC-32 (IEEE) of every payload, then of every result: the probabilities as "
        "float32 and the model's name, or the error's code. As in gRPC's replies",
    )


def latents_routes(service: Service, config: CloudConfig) -> APIRouter:
    """``POST /v1/latents``."""
    routes = APIRouter()

    @routes.post(
        "/v1/latents",
        response_model=LatentsBody,
        summary="Classify faces that a device has run the head on",
        description=_ABOUT,
        responses=_REFUSALS,
        openapi_extra=_BODY,
    )
    async def latents(
        request: Request,
        fingerprint: Annotated[
            str,
            Header(
                alias=FINGERPRINT_HEADER,
                description="of the weights that made the latents; never left out",
            ),
        ] = "",
        tail: Annotated[str, Query(description="id of a tail; empty for the default")] = "",
        labels: Annotated[
            LabelSet | None,
            BeforeValidator(lambda word: word or None),
            Query(description="whose labels the answers are; empty for the weights' default"),
        ] = None,
        deadline_ms: DeadlineMs = None,
    ) -> LatentsBody:
        deadline = Deadline.after_ms(deadline_ms or config.deadline_ms)
        if not fingerprint:
            raise MalformedPayload(f"{FINGERPRINT_HEADER}: name the weights that made the latents")
        try:
            async with asyncio.timeout(deadline.remaining_ms() / 1000):
                body = await _read(request, config.limits)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the body was read") from None
        payloads = split_payloads(body, config.limits.faces_per_frame)
        inferred = await service.infer(fingerprint, tail, payloads, deadline, labels)
        nothing = all(isinstance(one, SplitFerError) for one in inferred.results)
        setattr(request.state, ANSWERS_NOTHING, nothing)
        return LatentsBody(**reply_fields(payloads, inferred))

    return routes


def split_payloads(body: bytes, most: int) -> list[bytes]:
    """The payloads of a body; none is a frame without faces.

    Raises:
        PayloadTooLarge: there are more than ``most``; those are not counted.
        MalformedPayload: a length is cut short, or says more than there is.
    """
    payloads: list[bytes] = []
    at = 0
    while at < len(body):
        if len(payloads) == most:
            raise PayloadTooLarge(f"more than {most} faces in one frame")
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(body[at:start], "big")
        if start > len(body) or end > len(body):
            raise MalformedPayload(
                f"the body ends within payload {len(payloads)}: each is to stand behind its "
                f"length, {LENGTH_BYTES} bytes, big endian"
            )
        payloads.append(body[start:end])
        at = end
    return payloads


def most_body_bytes(limits: Limits) -> int:
    """Bytes of the largest frame's payloads, each behind its length."""
    return limits.infer_message_bytes + LENGTH_BYTES * limits.faces_per_frame


async def _read(request: Request, limits: Limits) -> bytes:
    most = most_body_bytes(limits)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise PayloadTooLarge(f"the body is larger than {most} bytes")
    return bytes(body)


def reply_fields(payloads: list[bytes], inferred: Inferred) -> dict[str, Any]:
    """The fields of a reply, as ``LatentsBody`` describes them."""
    bound = pb.InferResponse()
    for result in inferred.results:
        into = bound.results.add()
        if isinstance(result, SplitFerError):
            into.error.code = result.code
        else:
            into.answer.probabilities.extend(result.probabilities)
            into.answer.model = result.model
    times = inferred.latency_ms
    return {
        "schema_version": REPLY_VERSION,
        "faces": [_face(result) for result in inferred.results],
        "latency_ms": ServerTimeBody(tail=_rounded(times.tail), total=_rounded(times.total)),
        "checksum": infer_checksum(payloads, bound),
    }


def _face(result: FaceResult) -> LatentAnswer | LatentError:
    if isinstance(result, SplitFerError):
        return LatentError(error=error_detail(result))
    return LatentAnswer(
        label=result.label,
        probabilities=dict(zip(LABELS, result.probabilities, strict=True)),
        model=result.model,
        labels=result.labels,
    )


def _rounded(time_ms: float | None) -> float | None:
    return None if time_ms is None else round(time_ms, 3)
