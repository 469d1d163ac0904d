"""Around every gRPC call before its message is there: a deadline for it to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_timer: ContextVar[asyncio.TimerHandle] = ContextVar("receive timer")


class GrpcGuard(grpc.aio.ServerInterceptor):
    """Ends a call whose one message does not arrive within ``receive_s``, and refuses one that is
    no message. A stream may be silent for as long as it likes."""

    def __init__(self, receive_s: float) -> None:
        self._receive_s = receive_s
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The method's handler; it runs in this same task, once the message was read."""
        handler: Handler | None = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler  # type: ignore[return-value]  # None: gRPC says UNIMPLEMENTED
        method = handler_call_details.method
        if method not in self._wrapped:
            self._wrapped[method] = _wrap(handler)
        call = asyncio.current_task()
        assert call is not None
        _timer.set(asyncio.get_running_loop().call_later(self._receive_s, call.cancel))
        return self._wrapped[method]


def _wrap(handler: Handler) -> Handler:
    inner, read = handler.unary_unary, handler.request_deserializer
    assert inner is not None

    async def answer(data: bytes, context: Context) -> Any:
        _timer.get().cancel()
        try:
            message = read(data) if read else data
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
        return await inner(message, context)

    return grpc.unary_unary_rpc_method_handler(
        answer, response_serializer=handler.response_serializer
    )
