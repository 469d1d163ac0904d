"""Around every gRPC call before its message is there: a deadline for it to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_NOT_OURS = "/grpc."


def guarded(method: str, handler: Handler, receive_s: float) -> Handler:
    """The handler of ``/service/method`` that ends a call whose one message does not arrive within
    ``receive_s``, and refuses one that is no message. A stream may be silent for as long as it
    likes."""
    if handler.unary_unary is not None:
        return _wrap(handler, receive_s)
    return _lenient(handler) if method.startswith(_NOT_OURS) else handler


def _wrap(handler: Handler, receive_s: float) -> Handler:
    inner: Any = handler.unary_unary
    read = handler.request_deserializer

    async def answer(_: AsyncIterator[bytes], context: Context) -> Any:
        try:
            async with asyncio.timeout(receive_s):
                data = await context.read()
        except TimeoutError:
            await context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the message did not arrive within {receive_s:g} s",
            )
        if data is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a message is missing")
        try:
            message = read(data) if read else data
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
        try:
            return await inner(message, context)
        except NotImplementedError:
            # Such as health's List. gRPC would log a traceback for each call of any stranger.
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not served here")

    # To gRPC a stream, which it leaves to us to read; to the peer the same as a single message.
    behaviour: Any = answer
    return grpc.stream_unary_rpc_method_handler(
        behaviour, response_serializer=handler.response_serializer
    )


def _lenient(handler: Handler) -> Handler:
    """A stream's handler that takes what is no message for an empty one: gRPC would log a traceback
    for each, and anybody may ask for reflection and watch the health."""
    read = handler.request_deserializer
    if read is None:
        return handler

    def read_or_empty(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return read(b"")

    kinds = {
        grpc.stream_stream_rpc_method_handler: handler.stream_stream,
        grpc.stream_unary_rpc_method_handler: handler.stream_unary,
        grpc.unary_stream_rpc_method_handler: handler.unary_stream,
    }
    make, behaviour = next((make, inner) for make, inner in kinds.items() if inner is not None)
    return make(behaviour, read_or_empty, handler.response_serializer)
