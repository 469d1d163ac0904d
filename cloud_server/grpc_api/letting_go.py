"""What a call that failed leaves in memory: nothing."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from splitfer.cloud_server.grpc_api.wrap import Handler

_Behaviour = Callable[[Any, Any], Awaitable[Any]]


def letting_go(handler: Handler) -> Handler:
    """The same handler; when a call fails, its variables are freed at once.

    gRPC keeps the exception that ``abort`` raises in the call's state. The exception's traceback
    keeps every frame it went through, and a frame keeps the call: a cycle, with a message of
    megabytes in it, that stays until the garbage collector comes by.
    """
    kinds: Any = handler  # typed for the threaded server
    reads, writes = handler.request_deserializer, handler.response_serializer
    if kinds.stream_unary:
        return grpc.stream_unary_rpc_method_handler(_freed(kinds.stream_unary), reads, writes)
    return grpc.stream_stream_rpc_method_handler(_freed(kinds.stream_stream), reads, writes)


def _freed(behaviour: _Behaviour) -> Any:
    async def answer(messages: Any, context: Any) -> Any:
        try:
            return await behaviour(messages, context)
        except BaseException as raised:
            _clear(raised)
            raise

    return answer


def _clear(raised: BaseException) -> None:
    """Free the variables of every frame that the error, or one that led to it, went through."""
    seen: set[int] = set()
    left: list[BaseException | None] = [raised]
    while left:
        error = left.pop()
        if error is not None and id(error) not in seen:  # a cause may name its own effect
            seen.add(id(error))
            traceback.clear_frames(error.__traceback__)
            left += (error.__cause__, error.__context__)
