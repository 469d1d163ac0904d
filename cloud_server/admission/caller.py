"""Who is behind a request, as HTTP and gRPC tell it."""

from __future__ import annotations

from typing import Any

import grpc
from starlette.requests import HTTPConnection

from splitfer.cloud_server.admission.admission import Admission, Caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.shared.wire import AUTHORIZATION

Context = grpc.aio.ServicerContext[Any, Any]


def http_caller(
    admission: Admission, request: HTTPConnection, scope: Scope | None = None
) -> Caller:
    """The caller of an HTTP request, where it may ask for ``scope``.

    Raises:
        AuthError, Forbidden: see ``Access.authenticate``.
    """
    peer = request.client.host if request.client else None
    return admission.caller(request.headers.get(AUTHORIZATION), scope, peer)


def grpc_caller(admission: Admission, context: Context, scope: Scope | None = None) -> Caller:
    """The caller of a gRPC call, where it may ask for ``scope``.

    Raises:
        AuthError, Forbidden: see ``Access.authenticate``.
    """
    return admission.caller(_authorization(context), scope, context.peer())


def _authorization(context: Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == AUTHORIZATION:
            return value if isinstance(value, str) else value.decode("latin-1")
    return None
