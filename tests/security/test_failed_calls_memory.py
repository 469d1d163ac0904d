"""A call that was refused keeps nothing of its message, whenever garbage is collected."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.attack import messages as of
from benchmarks.attack.memory import status_mib
from splitfer.cloud_server.grpc_api.letting_go import letting_go
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

CALLS, MESSAGE_BYTES = 30, 8_000_000
MOST_LEFT_MIB = 80  # a third of what the messages have


class Message:
    """Something large."""


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def refused(context: Any, held: list[weakref.ref[Message]]) -> None:
    message = Message()
    held.append(weakref.ref(message))
    try:
        raise ValueError("no")
    except ValueError as error:
        error.__cause__ = KeyError("why")
        error.__cause__.__cause__ = error  # each names the other
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_a_refused_calls_variables_are_freed(kind: str) -> None:
    held: list[weakref.ref[Message]] = []

    async def behaviour(_: Any, context: Any) -> None:
        await refused(context, held)

    handlers = {
        "unary": grpc.stream_unary_rpc_method_handler(behaviour),
        "stream": grpc.stream_stream_rpc_method_handler(behaviour),
    }
    method = letting_go(handlers[kind])

    class Handlers(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return method

    async def ask() -> None:
        server = grpc.aio.server(handlers=[Handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            unary: Any = channel.unary_unary("/a/b")
            stream: Any = channel.stream_stream("/a/b")
            reply = unary(b"") if kind == "unary" else stream().read()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await reply
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await server.stop(None)

    with no_collector():
        asyncio.run(ask())
        assert [ref() for ref in held] == [None]


@pytest.fixture(scope="module")
def server() -> Iterator[CloudProcess]:
    with CloudProcess(default_folder()) as running:
        yield running


def test_large_messages_leave_no_memory_behind(server: CloudProcess) -> None:
    name = "x" * MESSAGE_BYTES
    with server.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        question = health_pb2.HealthCheckRequest(service=name)
        infer = channel.unary_unary(of.INFER)

        def ask() -> None:
            with pytest.raises(grpc.RpcError):
                next(stub.Watch(question, timeout=PATIENCE_S))
            with pytest.raises(grpc.RpcError):
                infer(name.encode(), timeout=PATIENCE_S)

        ask()
        before = status_mib(server.pid, "VmRSS")
        for _ in range(CALLS):
            ask()
        assert status_mib(server.pid, "VmRSS") - before < MOST_LEFT_MIB
