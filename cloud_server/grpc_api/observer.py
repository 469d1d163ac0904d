"""Around every gRPC call: the observer's work, without a word of it in the servicers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from splitfer.cloud_server.error_map import CODE_KEY, codes_of, trailing_metadata
from splitfer.cloud_server.request import REQUEST_ID
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.shared.errors import MalformedPayload

# Health and reflection are probes' own, and a health watch never ends.
_NOT_OURS = "/grpc."
Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def observed(method: str, handler: Handler, observer: Observer) -> Handler:
    """The handler of ``/service/method`` that tells ``observer``; a stream's own code does."""
    if method.startswith(_NOT_OURS) or handler.unary_unary is None:
        return handler
    name = method.removeprefix("/")
    read, write = handler.request_deserializer, handler.response_serializer
    inner: Any = handler.unary_unary  # typed for the threaded server
    assert read is not None
    assert write is not None

    async def answer(data: bytes, context: Context) -> bytes:
        request = observer.begin("grpc", name, _headers(context))
        request.received_bytes = len(data)
        try:
            message = await _read(read, data, context)
            context.set_trailing_metadata(((REQUEST_ID, request.id),))
            reply: bytes = write(await inner(message, context))
            request.sent_bytes = len(reply)
            return reply
        except BaseException as error:
            request.code = request.code or _code(context, error)
            raise
        finally:
            observer.end(request)

    return grpc.unary_unary_rpc_method_handler(answer)


async def _read(read: Callable[[bytes], Any], data: bytes, context: Context) -> Any:
    try:
        return read(data)
    except DecodeError:
        error = MalformedPayload("the message cannot be read: it is not of this method's type")
        await context.abort(
            codes_of(error).grpc, str(error), trailing_metadata=trailing_metadata(error)
        )


def _headers(context: Context) -> dict[str, str]:
    return {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}


def _code(context: Context, error: BaseException) -> str:
    """What a call that did not end well is counted as."""
    for key, value in context.trailing_metadata() or ():
        if key == CODE_KEY:
            return str(value)
    if isinstance(error, asyncio.CancelledError):
        left_s = context.time_remaining()
        return "hung_up" if left_s is None or left_s > 0 else "deadline"
    return "internal"
