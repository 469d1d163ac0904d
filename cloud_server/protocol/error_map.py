"""The HTTP status and the gRPC code of each of our errors, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from splitfer.cloud_server.telemetry.request import REQUEST_ID, current
from splitfer.shared.errors import (
    AuthError,
    DeadlineExceeded,
    Forbidden,
    ImageError,
    InferenceFailed,
    MalformedPayload,
    ModelMismatch,
    NotReady,
    Overloaded,
    OverQuota,
    PayloadTooLarge,
    RefusedChange,
    SplitFerError,
    UnknownModel,
    UnsupportedPicture,
    WeightsError,
)
from splitfer.shared.wire import CODE_KEY, RETRYABLE_KEY

RETRY_AFTER_S = 1

Status = grpc.StatusCode


@dataclass(frozen=True)
class Codes:
    """The code of one error in each protocol."""

    http: int
    grpc: grpc.StatusCode


_CODES: dict[type[SplitFerError], Codes] = {
    MalformedPayload: Codes(400, Status.INVALID_ARGUMENT),
    PayloadTooLarge: Codes(413, Status.RESOURCE_EXHAUSTED),
    ModelMismatch: Codes(409, Status.FAILED_PRECONDITION),
    UnknownModel: Codes(404, Status.NOT_FOUND),
    UnsupportedPicture: Codes(415, Status.INVALID_ARGUMENT),
    ImageError: Codes(422, Status.INVALID_ARGUMENT),
    AuthError: Codes(401, Status.UNAUTHENTICATED),
    Forbidden: Codes(403, Status.PERMISSION_DENIED),
    RefusedChange: Codes(409, Status.FAILED_PRECONDITION),
    # Of a folder that was asked for while running; at the start it ends the process.
    WeightsError: Codes(422, Status.FAILED_PRECONDITION),
    OverQuota: Codes(429, Status.RESOURCE_EXHAUSTED),
    Overloaded: Codes(503, Status.RESOURCE_EXHAUSTED),
    NotReady: Codes(503, Status.UNAVAILABLE),
    DeadlineExceeded: Codes(504, Status.DEADLINE_EXCEEDED),
    InferenceFailed: Codes(500, Status.INTERNAL),
    SplitFerError: Codes(500, Status.INTERNAL),
}


def codes_of(error: SplitFerError) -> Codes:
    """The codes of an error's nearest class."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def trailing_metadata(error: SplitFerError) -> tuple[tuple[str, str], ...]:
    """Our code and whether to retry, since gRPC's own status is ambiguous."""
    decides = ((CODE_KEY, error.code), (RETRYABLE_KEY, "true" if error.retryable else "false"))
    request = current()
    return decides if request is None else (*decides, (REQUEST_ID, request.id))


def json_body(code: str, message: str, retryable: bool) -> dict[str, Any]:
    """The one shape of every error body."""
    return {"error": {"code": code, "message": message, "retryable": retryable}}


def http_headers(error: SplitFerError) -> Mapping[str, str]:
    """Headers that go with an error."""
    status = codes_of(error).http
    if isinstance(error, Overloaded):
        return {"Retry-After": str(max(RETRY_AFTER_S, math.ceil(error.retry_after_s)))}
    if status == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {}
