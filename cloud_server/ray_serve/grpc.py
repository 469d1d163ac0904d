"""gRPC through Ray Serve: our services as its proxy calls them, and a context for our servicers.

    caller -> proxy (``add_services``: deadline in, error code out) -> replica (``RayCalls``)

Ray's proxy hands a call on without its deadline, answers its own errors without our code, and
pickles the message by its module's name, which is not where our stubs are. All three are put right
where the proxy asks for the services: messages travel as bytes. Streams are not offered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api.health import SERVICE_NAME as HEALTH_SERVICE
from splitfer.cloud_server.grpc_api.message import Reader
from splitfer.cloud_server.grpc_api.methods import CHECK, Collector
from splitfer.cloud_server.grpc_api.oip import OIP_SERVICE, OipServicer, oip_methods
from splitfer.cloud_server.grpc_api.splitfer import SERVICE, SplitFerServicer, splitfer_methods
from splitfer.cloud_server.grpc_api.wrap import Handler, Wrap
from splitfer.cloud_server.protocol.error_map import codes_of, trailing_metadata
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.shared.errors import DeadlineExceeded, NotReady, Overloaded, SplitFerError
from splitfer.shared.stubs.inference import grpc_inference_pb2 as oip_pb
from splitfer.shared.stubs.inference import grpc_inference_pb2_grpc as oip_pb_grpc
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.wire import CODE_KEY

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
_NAMES = {"", SERVICE, OIP_SERVICE}
Metadata = Sequence[tuple[str, str | bytes]]


def methods() -> dict[str, str]:
    """The methods that are served, as ``Infer`` and as ``/splitfer.v1.SplitFer/Infer``."""
    return {
        method.name: f"/{service.full_name}/{method.name}"
        for file in (pb.DESCRIPTOR, oip_pb.DESCRIPTOR, health_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    }


def _collected(splitfer: Any, oip: Any, health: Any) -> dict[str, dict[str, Handler]]:
    """Service -> method -> handler."""
    adds: tuple[tuple[str, Any, Any], ...] = (
        (SERVICE, pb_grpc.add_SplitFerServicer_to_server, splitfer),
        (OIP_SERVICE, oip_pb_grpc.add_GRPCInferenceServiceServicer_to_server, oip),
        (HEALTH_SERVICE, health_pb2_grpc.add_HealthServicer_to_server, health),
    )
    found = {}
    for service, add, servicer in adds:
        collector = Collector()
        add(servicer, collector)
        found[service] = collector.handlers
    return found


# -- in the proxy --------------------------------------------------------------------------------


def add_services(servicer: Any, server: Any) -> None:
    """Register our services on Ray's proxy; ``gRPCOptions.grpc_servicer_functions`` names this."""
    routed = server.service_handler_factory

    def carried(service_method: str, streaming_type: Any) -> Callable[..., Any]:
        of_health = service_method.startswith(f"/{HEALTH_SERVICE}/")
        return _carried(routed(service_method, streaming_type), of_health)

    served = set(methods().values())
    server.service_handler_factory = carried
    try:
        for service, handlers in _collected(servicer, servicer, servicer).items():
            # Without (de)serializers: bytes in, bytes out.
            unary: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(_behaviour(handler))
                for name, handler in handlers.items()
                if f"/{service}/{name}" in served
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, unary),))
    finally:
        server.service_handler_factory = routed


def _behaviour(handler: Handler) -> Any:
    return handler.unary_unary


def _carried(handler: Callable[..., Any], of_health: bool) -> Callable[..., Any]:
    """Ray's handler of one method, with the deadline carried in and our code carried out."""

    async def unary(request: bytes, context: Any) -> Any:
        reply = await handler(request, _WithDeadline(context))
        trailing = tuple(context.trailing_metadata() or ())
        if of_health or CODE_KEY in dict(trailing):
            return reply  # our own word
        if kind := _OF_THE_PROXY.get(context.code()):
            context.set_trailing_metadata((*trailing, *trailing_metadata(kind(""))))
            if kind is NotReady:  # Ray's words are of replicas and routes
                context.set_code(codes_of(kind("")).grpc)
                context.set_details("the server is starting or stopping")
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


# -- in a replica --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """A reply's bytes, in the one shape that Ray takes."""

    data: bytes

    def SerializeToString(self) -> bytes:
        """The bytes."""
        return self.data


class RayCalls:
    """Our servicers, called by a method's name with a message's bytes and Ray's context."""

    def __init__(
        self,
        config: CloudConfig,
        service: Service,
        admission: Admission,
        observer: Observer,
        budget: ByteBudget,
    ) -> None:
        limits = config.limits
        collected = _collected(
            SplitFerServicer(service, config.deadline_ms),
            OipServicer(service, admission, config),
            _Health(admission.health),
        )
        takes = {
            SERVICE: splitfer_methods(limits),
            OIP_SERVICE: oip_methods(limits),
            HEALTH_SERVICE: {"Check": CHECK},
        }
        reader = Reader(config.receive_s)
        wrap = Wrap(admission, observer, reader, budget)
        self._answers = {
            f"/{of}/{name}": wrap.answering(f"{of}/{name}", collected[of][name], method)
            for of, methods_of in takes.items()
            for name, method in methods_of.items()
        }

    async def answer(self, method: str, message: bytes, context: Any) -> Reply:
        """The reply to one call. Where a servicer aborted, an empty one: Ray drops the trailing
        metadata of a call that raises, and gRPC the reply of one that failed."""
        called: Any = RayContext(context)
        try:
            return Reply(await self._answers[method](message, called))
        except _Aborted:
            return Reply(b"")


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no types
    """A replica that answers serves, until Ray takes it off the proxy's list."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        """Whether the named service serves."""
        if request.service not in _NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        state = health_pb2.HealthCheckResponse
        status = state.SERVING if self._health.ready else state.NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status)


class _Aborted(grpc.aio.AbortError):
    """A servicer ended its call; the code is on Ray's context already."""


class RayContext:
    """gRPC's context, as far as our servicers use it, made from Ray's."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._start_s = time.monotonic()

    def invocation_metadata(self) -> Metadata:
        """As the caller sent them, and the proxy's."""
        metadata: Metadata = self._context.invocation_metadata()
        return metadata

    def trailing_metadata(self) -> Metadata:
        """What was set so far."""
        metadata: Metadata = self._context.trailing_metadata()
        return metadata

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes with the reply."""
        self._context.set_trailing_metadata(list(metadata))

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

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        """End the call."""
        self._context.set_code(code)
        self._context.set_details(details)
        self.set_trailing_metadata(trailing_metadata)
        raise _Aborted(details)
