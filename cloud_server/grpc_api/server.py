"""The listening gRPC server: ``splitfer.v1``, the Open Inference Protocol, ``grpc.health.v1`` and
reflection."""

from __future__ import annotations

import grpc

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.bounds import Bounds
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.tls import ServerTls
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api import health, reflection
from splitfer.cloud_server.grpc_api.health import HealthServicer
from splitfer.cloud_server.grpc_api.message import Reader
from splitfer.cloud_server.grpc_api.methods import Methods
from splitfer.cloud_server.grpc_api.oip import OIP_SERVICE, OipServicer, oip_methods
from splitfer.cloud_server.grpc_api.reflection import ReflectionServicer
from splitfer.cloud_server.grpc_api.splitfer import (
    SERVICE,
    SLACK_BYTES,
    SplitFerServicer,
    splitfer_methods,
)
from splitfer.cloud_server.grpc_api.stream import InferStreams
from splitfer.cloud_server.grpc_api.wrap import Wrap
from splitfer.cloud_server.service.frame_stream import StreamBounds
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.weights.handed_out import HandedOutWeights
from splitfer.shared.errors import ConfigError
from splitfer.shared.stubs.inference import grpc_inference_pb2_grpc as oip_pb_grpc
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc

# All of a call's metadata; a token takes a hundred.
_METADATA_BYTES = 16 * 2**10
# For calls in flight when a connection has reached its age.
_AGE_GRACE_MS = 60_000
# From the number of waiting calls at which some are turned away to that at which all are.
_BACKLOG_SLOPE = 2
# Clients ping every 10 s, also without calls; gRPC's default allows one in five minutes and then
# closes the connection with "too_many_pings".
_SHORTEST_PING_MS = 5_000


class GrpcServer:
    """The listening server. ``port`` is the one that was got, also where 0 was asked."""

    def __init__(
        self,
        config: CloudConfig,
        service: Service,
        admission: Admission,
        observer: Observer,
        tls: ServerTls,
        bounds: Bounds,
        budget: ByteBudget,
        standing: ByteBudget,
        handed_out: HandedOutWeights | None = None,
    ) -> None:
        reader = Reader(config.receive_s, admission.turns)
        methods = Methods(Wrap(admission, observer, reader, budget), reader)
        streamed = config.limits.infer_message_bytes + SLACK_BYTES
        self._streams = InferStreams(
            service,
            admission,
            observer,
            budget,
            standing,
            streamed,
            StreamBounds(config.stream_in_flight, config.deadline_ms),
        )
        methods.take(
            SERVICE,
            pb_grpc.add_SplitFerServicer_to_server,
            SplitFerServicer(service, config.deadline_ms, self._streams, handed_out),
            splitfer_methods(config.limits),
            streamed,
        )
        methods.take(
            OIP_SERVICE,
            oip_pb_grpc.add_GRPCInferenceServiceServicer_to_server,
            OipServicer(service, admission, config),
            oip_methods(config.limits),
        )
        names = frozenset(("", SERVICE, OIP_SERVICE))
        self._health = HealthServicer(admission.health, names, reader, config.wait_s)
        methods.add_health(self._health)
        if config.reflects:
            described = (SERVICE, OIP_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            methods.add_reflection(ReflectionServicer(described, admission))
        self._server = grpc.aio.server(handlers=[methods], options=_options(config, bounds))
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.address = f"{host}:{config.grpc_port}"
        try:
            if credentials := tls.grpc_credentials():
                port = self._server.add_secure_port(self.address, credentials)
            else:
                port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise ConfigError(
                f"grpc_port: cannot listen on {self.address}; is the port taken?"
            ) from error
        self.address = f"{host}:{port}"

    async def start(self) -> None:
        """Begin to listen."""
        await self._server.start()

    def tell(self) -> None:
        """Send the server's health, which has changed, to those that watch it."""
        self._health.tell()

    def drain(self) -> None:
        """Send the health for the last time to those that watch it, and end streams."""
        self._streams.drain()
        self._health.tell(last=True)

    async def stop(self, grace_s: float) -> None:
        """Close, after calls in flight have ended or ``grace_s`` has passed."""
        await self._server.stop(grace_s)


def _options(config: CloudConfig, bounds: Bounds) -> list[tuple[str, int]]:
    limits = config.limits
    most = max(limits.body_bytes, limits.infer_message_bytes) + SLACK_BYTES
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
        ("grpc.max_allowed_incoming_connections", bounds.grpc_connections),
        ("grpc.max_concurrent_streams", config.grpc_streams_max),
        # A refusal in Python takes a tenth of what an answer does: calls that come faster than they
        # can be refused end here, cheaply (CANCELLED), instead of all growing old in a queue. gRPC
        # turns calls away at random between the two limits: close together, none before it must.
        ("grpc.server.max_pending_requests", config.grpc_backlog),
        ("grpc.server.max_pending_requests_hard_limit", config.grpc_backlog + _BACKLOG_SLOPE),
        # TLS and HTTP/2's first words.
        ("grpc.server_handshake_timeout_ms", round(config.wait_s * 1000)),
        ("grpc.max_receive_message_length", most),
        # Else what is not read yet has room for megabytes on each stream of a quick connection.
        ("grpc.http2.bdp_probe", 0),
        # Packed messages would be unpacked before anybody asks whose they are.
        ("grpc.compression_enabled_algorithms_bitset", 1),
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
