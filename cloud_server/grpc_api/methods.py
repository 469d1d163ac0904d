"""The methods that a gRPC server answers, by name, each with what goes around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from splitfer.cloud_server.grpc_api import health, reflection
from splitfer.cloud_server.grpc_api.health import HealthServicer
from splitfer.cloud_server.grpc_api.letting_go import letting_go
from splitfer.cloud_server.grpc_api.message import Context, Reader, read_message
from splitfer.cloud_server.grpc_api.reflection import ReflectionServicer
from splitfer.cloud_server.grpc_api.wrap import Handler, Method, Wrap
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

CHECK = Method(health_pb2.HealthCheckRequest.DESCRIPTOR, open_to_all=True, seen=False)


class Methods(grpc.GenericRpcHandler):
    """What generated code adds its services to, and what the server looks methods up in by name.

    Registered, gRPC would wait for a call of each method, and begin to wait for all of them anew at
    every single call. And what goes around a method is put there once: an interceptor is asked at
    every call.
    """

    def __init__(self, wrap: Wrap, reader: Reader) -> None:
        self._wrap, self._reader = wrap, reader
        self._unknown: Handler = grpc.stream_unary_rpc_method_handler(self._refuse)
        self._handlers: dict[str, Handler] = {}

    def take(
        self,
        service: str,
        add: Callable[[Any, Any], None],
        servicer: object,
        methods: Mapping[str, Method],
        stream_bytes: int = 0,
    ) -> None:
        """The methods of ``servicer``, which generated code's ``add`` brings. Those of ``methods``
        are unary; all others are streams, whose messages have at most ``stream_bytes``."""
        collected = Collector()
        add(servicer, collected)
        for name, handler in collected.handlers.items():
            method = methods.get(name)
            self._add(
                f"{service}/{name}",
                _bounded_stream(handler, stream_bytes)
                if method is None
                else self._wrap.unary(f"{service}/{name}", handler, method),
            )

    def add_health(self, servicer: HealthServicer) -> None:
        """Add ``grpc.health.v1``."""
        check, watch = health.handlers(servicer)
        name = f"{health.SERVICE_NAME}/Check"
        self._add(name, self._wrap.unary(name, check, CHECK))
        self._add(f"{health.SERVICE_NAME}/Watch", watch)

    def add_reflection(self, servicer: ReflectionServicer) -> None:
        """Add ``grpc.reflection.v1alpha``."""
        name = f"{reflection.SERVICE_NAME}/ServerReflectionInfo"
        self._add(name, reflection.handler(servicer))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """The method's handler; where there is none, one that refuses the call."""
        return self._handlers.get(handler_call_details.method, self._unknown)

    async def _refuse(self, _: object, context: Context) -> bytes:
        await self._reader.turn(context)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")  # as gRPC says it
        raise AssertionError("abort raises")

    def _add(self, name: str, handler: Handler) -> None:
        self._handlers[f"/{name}"] = letting_go(handler)


class Collector:
    """In the place of a server: keeps the handlers that generated code adds."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_registered_method_handlers(self, _: str, handlers: Mapping[str, Handler]) -> None:
        """Take the handlers of one service; generated code calls it."""
        self.handlers.update(handlers)

    def add_generic_rpc_handlers(self, _: object) -> None:
        """Ignore the same handlers without names, which generated code adds too."""


def _bounded_stream(handler: Handler, most_bytes: int) -> Handler:
    """The handler of ``InferStream``, which checks messages before they become objects."""
    behaviour: Any = handler.stream_stream

    def read(data: bytes) -> pb.InferStreamRequest:
        kind = pb.InferStreamRequest
        message: pb.InferStreamRequest = read_message(
            kind.FromString, data, most_bytes, kind.DESCRIPTOR
        )
        return message

    return grpc.stream_stream_rpc_method_handler(behaviour, read, handler.response_serializer)
