"""gRPC through Ray Serve: what its proxy is told of our services, and a context for our servicers.

    caller -> proxy (``add_services``: deadline in, error code out) -> replica (``RayContext``)

Ray's proxy hands a call on without its deadline and answers its own errors without our code; both
are put right where the proxy asks for the services.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2_grpc

from cloud_server.error_map import CODE_KEY, trailing_metadata
from shared.errors import DeadlineExceeded, NotReady, Overloaded, SplitFerError
from shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc

# What the proxy adds to a call's metadata.
_LEFT_MS_KEY = "splitfer-left-ms"
# What the proxy's own refusals mean: a full queue; no replica, or no application yet.
_OF_THE_PROXY: dict[grpc.StatusCode, type[SplitFerError]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.NOT_FOUND: NotReady,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: SplitFerError,
}
Metadata = Sequence[tuple[str, str | bytes]]
Reply = TypeVar("Reply")


def add_services(servicer: Any, server: Any) -> None:
    """Register our services on Ray's proxy; ``gRPCOptions.grpc_servicer_functions`` names this."""
    routed = server.service_handler_factory

    def carried(service_method: str, streaming_type: Any) -> Callable[..., Any]:
        return _carried(routed(service_method, streaming_type))

    server.service_handler_factory = carried
    try:
        pb_grpc.add_SplitFerServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    finally:
        server.service_handler_factory = routed


def _carried(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Ray's handler of one method, with the deadline carried in and our code carried out."""
    if inspect.isasyncgenfunction(handler):

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            async for message in handler(request, _WithDeadline(context)):
                yield message
            _name_error(context)

        return stream

    async def unary(request: Any, context: Any) -> Any:
        reply = await handler(request, _WithDeadline(context))
        _name_error(context)
        return reply

    return unary


class _WithDeadline:
    """gRPC's context whose metadata also tell what is left of the deadline."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def invocation_metadata(self) -> Metadata:
        """The caller's metadata and ours."""
        given = [(k, v) for k, v in self._context.invocation_metadata() or () if k != _LEFT_MS_KEY]
        left_s = self._context.time_remaining()
        return given if left_s is None else [*given, (_LEFT_MS_KEY, repr(left_s * 1000))]


def _name_error(context: Any) -> None:
    kind = _OF_THE_PROXY.get(context.code())
    trailing = tuple(context.trailing_metadata() or ())
    if kind is not None and CODE_KEY not in dict(trailing):
        context.set_trailing_metadata((*trailing, *trailing_metadata(kind(""))))


class Aborted(Exception):
    """A servicer ended its call; the code is on Ray's context already."""


class RayContext:
    """What our servicers ask of gRPC's context, told by Ray's."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._start_s = time.monotonic()

    def invocation_metadata(self) -> Metadata:
        """As the caller sent them, and the proxy's."""
        metadata: Metadata = self._context.invocation_metadata()
        return metadata

    def peer(self) -> str:
        """The caller's address."""
        return str(self._context.peer())

    def auth_context(self) -> Any:
        """What TLS knows of the caller."""
        return self._context.auth_context()

    def time_remaining(self) -> float | None:
        """Seconds left of the caller's deadline; None where it named none."""
        for key, value in self.invocation_metadata():
            if key == _LEFT_MS_KEY:
                return float(value) / 1000 - (time.monotonic() - self._start_s)
        return None

    def set_code(self, code: grpc.StatusCode) -> None:
        """The call's status."""
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """The status's message."""
        self._context.set_details(details)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes with the status."""
        self._context.set_trailing_metadata(list(metadata))

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> None:
        """End the call.

        Raises:
            Aborted: always.
        """
        self.set_code(code)
        self.set_details(details)
        self.set_trailing_metadata(trailing_metadata)
        raise Aborted(details)


async def answered(
    method: Callable[[Any, Any], Awaitable[Reply]], request: Any, context: Any, empty: Reply
) -> Reply:
    """The reply of a servicer's method. Where it aborted, ``empty``: Ray drops the trailing
    metadata of a call that raises, and gRPC drops the reply of one that failed."""
    try:
        return await method(request, RayContext(context))
    except Aborted:
        return empty
