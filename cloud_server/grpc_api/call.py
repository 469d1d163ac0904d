"""One unary gRPC call around the service: who asks, until when, and what a refusal looks like."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc

from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.error_map import codes_of, trailing_metadata, unexpected
from splitfer.cloud_server.service import Service
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import SplitFerError

log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
Reply = TypeVar("Reply")


async def answer_call(
    service: Service,
    context: Context,
    work: Callable[[Deadline], Awaitable[Reply]],
    scope: Scope | None = None,
) -> Reply:
    """The reply of ``work``, where the caller may ask it and the server takes work; else the call
    ends with the error."""
    try:
        caller = grpc_caller(service.access, context, scope)
        left_s = context.time_remaining()
        left_ms = service.config.deadline_ms if left_s is None else left_s * 1000
        with caller.allowance.request(), service.health.request():
            return await work(Deadline.after_ms(left_ms))
    except SplitFerError as raised:
        error = raised
    except Exception:
        log.exception("a call failed")
        error = unexpected()
    await abort_call(context, error)


async def abort_call(context: Context, error: SplitFerError) -> NoReturn:
    """End the call with an error of ours."""
    await context.abort(
        codes_of(error).grpc, str(error), trailing_metadata=trailing_metadata(error)
    )
    raise AssertionError("abort raises")
