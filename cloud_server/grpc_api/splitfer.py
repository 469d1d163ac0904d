"""gRPC around the service: ``splitfer.v1``, the Open Inference Protocol, ``grpc.health.v1`` and
reflection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api.call import Context, abort_call, answer_call
from splitfer.cloud_server.grpc_api.guard import Handler, guarded
from splitfer.cloud_server.grpc_api.observer import observed
from splitfer.cloud_server.grpc_api.oip import OIP_SERVICE, OipServicer
from splitfer.cloud_server.grpc_api.replies import fill, fill_result, fill_time
from splitfer.cloud_server.grpc_api.stream import InferStream
from splitfer.cloud_server.service import Service
from splitfer.cloud_server.wanted import wanted_labels, wanted_prior
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import ConfigError, SplitFerError
from splitfer.shared.reply_checksum import classify_checksum
from splitfer.shared.stubs.inference import grpc_inference_pb2_grpc as oip_pb_grpc
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["SplitFer"].full_name
# Room for a message's own fields, and so that a body which is a little too large gets our error
# with its code instead of gRPC's bare RESOURCE_EXHAUSTED.
_SLACK_BYTES = 64 * 2**10
# All of a call's metadata; a token takes a hundred.
_METADATA_BYTES = 16 * 2**10
# For calls in flight when a connection has reached its age.
_AGE_GRACE_MS = 60_000
# From the number of waiting calls at which some are turned away to that at which all are.
_BACKLOG_SLOPE = 2
# Clients ping every 10 s, also without calls; gRPC's default allows one in five minutes and then
# closes the connection with "too_many_pings".
_SHORTEST_PING_MS = 5_000


class SplitFerServicer(pb_grpc.SplitFerServicer):
    """``splitfer.v1.SplitFer``: messages to values, values to messages.

    ``stream_in_flight`` is how many messages one stream may have in flight; 0 offers none.
    """

    def __init__(self, service: Service, stream_in_flight: int = 0) -> None:
        self._service = service
        self._stream_in_flight = stream_in_flight
        self._streams: set[InferStream] = set()

    def drain(self) -> None:
        """Streams end once what they have read is answered."""
        for stream in self._streams:
            stream.drain()

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        """The handshake."""

        async def work(_: Deadline) -> pb.Model:
            model = self._service.model(request.fingerprint)
            limits = model.limits
            return pb.Model(
                schema_version=model.schema_version,
                server_version=model.server_version,
                fingerprint=model.fingerprint,
                labels=model.labels,
                tails=model.tails,
                codecs=model.codecs,
                served=model.served,
                label_sets=[one.value for one in model.label_sets],
                stream_in_flight=self._stream_in_flight,
                limits=pb.Limits(
                    faces_per_frame=limits.faces_per_frame,
                    smallest_face_px=limits.smallest_face_px,
                    body_bytes=limits.body_bytes,
                    picture_pixels=limits.picture_pixels,
                    infer_message_bytes=limits.infer_message_bytes,
                ),
            )

        return await answer_call(self._service, context, work)

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:
        """One frame's latents -> a result per face."""

        return await answer_call(self._service, context, partial(self._infer, request), Scope.INFER)

    async def InferStream(self, _: object, context: Context) -> None:
        """Frames' latents as they come -> their results as they are ready."""
        if not self._stream_in_flight:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams here; use Infer")
        service = self._service
        try:
            caller = grpc_caller(service.access, context, Scope.INFER)
            with service.health.request():
                pass  # starting or draining
        except SplitFerError as error:
            await abort_call(context, error)
        stream = InferStream(service, context, caller.allowance, self._stream_in_flight)
        self._streams.add(stream)
        try:
            await stream.run()
        except SplitFerError as error:
            await abort_call(context, error)
        finally:
            self._streams.discard(stream)

    async def _infer(self, request: pb.InferRequest, deadline: Deadline) -> pb.InferResponse:
        inferred = await self._service.infer(
            request.fingerprint,
            request.tail,
            request.payloads,
            deadline,
            wanted_labels(request.labels),
        )
        reply = pb.InferResponse()
        fill(reply, request.payloads, inferred)
        return reply

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """A whole picture -> its faces and their results."""

        async def work(deadline: Deadline) -> pb.ClassifyResponse:
            labels, prior = wanted_labels(request.labels), wanted_prior(request.prior)
            seen = await self._service.classify(
                request.picture, request.tail, deadline, labels, prior
            )
            reply = pb.ClassifyResponse(width=seen.width, height=seen.height)
            for (box, result), quality, trust in zip(
                seen.faces, seen.qualities, seen.trust, strict=True
            ):
                face = reply.faces.add(box=pb.Box(x=box.x, y=box.y, w=box.w, h=box.h))
                fill_result(face.result, result)
                face.quality = quality
                if trust is not None:
                    face.confidence, face.uncertain = trust.confidence, trust.uncertain
            fill_time(reply.time, seen.latency_ms)
            reply.checksum = classify_checksum(request.picture, reply)
            return reply

        return await answer_call(self._service, context, work, Scope.IMAGE)


class _Methods(grpc.GenericRpcHandler):
    """What generated code adds its services to, and what the server looks methods up in by name.

    Registered, gRPC would wait for a call of each method, and begin to wait for all of them anew at
    every single call. And what goes around a method is put there once: an interceptor is asked at
    every call.
    """

    def __init__(self, around: Callable[[str, Handler], Handler]) -> None:
        self._around = around
        self._handlers: dict[str, Handler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Of one service."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = self._around(method, handler)

    def add_generic_rpc_handlers(self, _: object) -> None:
        """The same ones, without their names."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The method's handler; where there is none, gRPC says UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)


class GrpcServer:
    """The listening server. ``port`` is the one that was got, also where 0 was asked."""

    def __init__(self, service: Service) -> None:
        config = service.config

        def around(method: str, handler: Handler) -> Handler:
            return guarded(method, observed(method, handler, service.observer), config.receive_s)

        services: Any = _Methods(around)
        add = pb_grpc.add_SplitFerServicer_to_server
        self._servicer = SplitFerServicer(service, config.stream_in_flight)
        add(self._servicer, services)  # type: ignore[no-untyped-call]  # generated
        add = oip_pb_grpc.add_GRPCInferenceServiceServicer_to_server
        add(OipServicer(service), services)  # type: ignore[no-untyped-call]  # generated
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, services)
        names = (SERVICE, OIP_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, services)
        self._server = grpc.aio.server(handlers=[services], options=_options(config))
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.address = f"{host}:{config.grpc_port}"
        try:
            if credentials := service.tls.grpc_credentials():
                port = self._server.add_secure_port(self.address, credentials)
            else:
                port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise ConfigError(
                f"grpc_port: cannot listen on {self.address}; is the port taken?"
            ) from error
        self.address = f"{host}:{port}"

    async def start(self) -> None:
        """Listen; health says NOT_SERVING until ``serve``."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()

    async def serve(self) -> None:
        """Health says SERVING."""
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def leave(self) -> None:
        """Health says NOT_SERVING; calls are answered as before."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def drain(self) -> None:
        """Health says NOT_SERVING for good; those that watch it are told. Streams end."""
        self._servicer.drain()
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Close, after calls in flight have ended or ``grace_s`` has passed."""
        await self._server.stop(grace_s)

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", SERVICE, OIP_SERVICE):
            await self._health.set(name, status)


def _options(config: CloudConfig) -> list[tuple[str, int]]:
    limits = config.limits
    most = max(limits.body_bytes, limits.infer_message_bytes) + _SLACK_BYTES
    age_s = config.grpc_connection_age_s
    age = (
        [
            ("grpc.max_connection_age_ms", round(age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
        ]
        if age_s
        else []
    )
    return [
        *age,
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", config.grpc_connections_max),
        ("grpc.max_concurrent_streams", config.grpc_streams_max),
        # A refusal in Python takes a tenth of what an answer does: calls that come faster than they
        # can be refused end here, cheaply (CANCELLED), instead of all growing old in a queue. gRPC
        # turns calls away at random between the two limits: close together, none before it must.
        ("grpc.server.max_pending_requests", config.grpc_backlog),
        ("grpc.server.max_pending_requests_hard_limit", config.grpc_backlog + _BACKLOG_SLOPE),
        # TLS and HTTP/2's first words.
        ("grpc.server_handshake_timeout_ms", round(config.wait_s * 1000)),
        ("grpc.max_receive_message_length", most),
        ("grpc.max_send_message_length", most),
        ("grpc.http2.min_ping_interval_without_data_ms", _SHORTEST_PING_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _SHORTEST_PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # The server pings too, so that peers which vanished do not hold connections.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Else a second server would share the port without a word.
        ("grpc.so_reuseport", 0),
    ]
