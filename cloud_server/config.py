"""The server's settings."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from splitfer.shared.bearer_token import weak_token_fault
from splitfer.shared.certificates import Certificates, read_certificates
from splitfer.shared.contracts import Device, Limits
from splitfer.shared.detectors import DetectorName
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.settings import Settings
from splitfer.shared.wire import DEADLINE_MS_MAX

PREFIX = "SPLITFER_CLOUD_"
# More is a slip of the keyboard: no machine has it, and gRPC counts in 32 bits.
_MANY = 1_000_000
_MOST_SIDE_PX = 16_384
_MOST = {
    "faces_per_frame": 10_000,
    "smallest_face_px": _MOST_SIDE_PX,
    "body_bytes": 2**30,
    "picture_pixels": 10**9,
    "infer_message_bytes": 2**30,
}
# As browsers write it.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@?#A-Z]+")


@dataclass(frozen=True)
class RayScale:
    """Replicas and their bounds; used with ``engine: ray`` alone.

    ``tail_ongoing`` is the calls under way in each tail replica that the autoscaler aims at.
    ``tail_queued_max`` calls may wait in one ingress replica for a tail replica with room; more
    are refused as ``overloaded``.
    """

    ingress_replicas: int = 1
    # 0: an ingress replica takes no place of its own. On a cluster give it a core.
    ingress_cpus: float = 0
    tail_replicas_min: int = 1
    tail_replicas_max: int = 2
    tail_cpus: float = 1
    tail_ongoing: float = 8
    tail_queued_max: int = 64

    def problem(self) -> str | None:
        """What is wrong with it, None where nothing is."""
        if not (1 <= self.ingress_replicas <= _MANY and 1 <= self.tail_replicas_min <= _MANY):
            return f"there is at least one replica, and at most {_MANY}"
        if not self.tail_replicas_min <= self.tail_replicas_max <= _MANY:
            return f"tail_replicas_max is at least tail_replicas_min, and at most {_MANY}"
        if not (0 <= self.ingress_cpus <= _MANY and 0 <= self.tail_cpus <= _MANY):
            return f"ingress_cpus and tail_cpus are at least 0, and at most {_MANY}"
        if not (0 < self.tail_ongoing <= _MANY and 1 <= self.tail_queued_max <= _MANY):
            return f"tail_ongoing and tail_queued_max are more than 0, and at most {_MANY}"
        return None


class CallerLimits(BaseModel):
    """Bounds on one caller; None bounds nothing.

    ``burst`` requests may come at once after a silence: those of one second where it is None.
    ``faces_per_s`` counts the faces of all its requests, and ``busy_share`` the seconds a second
    that networks, decoders and searches are busy for it: both are charged when they are known, and
    who owes anything waits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    burst: Annotated[int | None, Field(ge=1, le=_MANY)] = None
    concurrent: Annotated[int | None, Field(ge=1, le=_MANY)] = None
    faces_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    busy_share: Annotated[float | None, Field(gt=0, le=1e6)] = None

    @property
    def most_at_once(self) -> float:
        """What a full bucket holds; at least one request, else none would ever be let in."""
        if self.requests_per_s is None:
            return math.inf
        return float(self.burst or max(1.0, self.requests_per_s))


class CloudConfig(Settings):
    """Every setting of ``cloud-server``; ``shared/settings.py`` says where values come from."""

    engine: Literal["process", "ray"] = Field(
        "process", description="one process, or Ray Serve (the extra ray)"
    )
    ray: RayScale = RayScale()
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    grpc_port: int = Field(50051, ge=0, le=65535, description="port of gRPC; 0 takes any free one")
    http_port: int = Field(8080, ge=0, le=65535, description="port of HTTP; 0 takes any free one")

    # In the environment as in PATH: one string, a colon between two folders.
    weights: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders to serve, the default first; all that are shipped where none"
    )
    weights_root: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders below which 'models load' may load weights; nowhere where none"
    )
    watch: Path | None = Field(
        None, description="folder whose folders of weights are served as they come and go"
    )
    tail: str | None = Field(None, description="default tail; the manifest's where none")
    hand_out_weights: bool = Field(
        False,
        description="whether devices that ask get their part of the default weights, where these "
        "are signed (`cloud-server sign`)",
    )

    prior: Prior | None = Field(
        None,
        description="of answers to pictures where none is asked for: natural (classes as common as "
        "in training) or balanced (all alike)",
    )

    uncertain_below: float = Field(
        UNCERTAIN_BELOW,
        ge=0,
        le=1,
        description="confidence below which an answer about a picture is marked uncertain; 0: none",
    )

    device: Device = Field("cpu", description="what runs the networks: cpu, or cuda (NVIDIA)")
    threads: int = Field(1, ge=1, le=256, description="threads of each network")
    batch_max: int = Field(
        0,
        ge=0,
        le=4096,
        description="faces in one run of a tail; 0: as many as run in batch_goal_ms",
    )
    batch_goal_ms: float = Field(
        25, gt=0, le=10_000, description="longest run of a tail where batch_max is 0"
    )
    batch_wait_ms: float = Field(
        0, ge=0, le=1000, description="wait for more faces; 0 takes what is queued"
    )
    queue_max: int = Field(256, ge=1, le=_MANY, description="faces that wait for a tail")
    stream_in_flight: int = Field(
        64,
        ge=0,
        le=_MANY,
        description="messages in flight on one InferStream or WebSocket; 0 offers no streams",
    )
    latent_streams_max: int = Field(
        256, ge=0, le=_MANY, description="open WebSockets of latents; 0 offers none"
    )
    picture_threads: int = Field(2, ge=1, le=256, description="pictures worked on at once")
    picture_decode_s: float = Field(
        5, gt=0, le=3600, description="processor time in which a picture must be decoded"
    )
    pictures_max: int = Field(16, ge=1, le=_MANY, description="pictures worked on or waiting")
    detector: DetectorName = Field(
        DetectorName.DLIB,
        description="what finds faces: dlib upright frontal ones of about 80 px and more in the "
        "searched picture, yunet also turned and small ones",
    )
    search_side_px: int = Field(
        640, ge=80, le=_MOST_SIDE_PX, description="longer side of the searched picture"
    )
    limits: Limits = Limits()

    in_flight_bytes: int = Field(
        0,
        ge=0,
        le=2**40,
        description="memory for all bodies, messages and pictures that callers have under way; 0: "
        "what the cgroup or the machine has beyond 640 MiB, at most 512 MiB, and at least what the "
        "largest picture takes",
    )
    reflection: bool | None = Field(
        None,
        description="whether gRPC's reflection describes the services; where none only on a "
        "server without tokens",
    )
    deadline_ms: float = Field(
        30_000, gt=0, le=DEADLINE_MS_MAX, description="for callers that name no deadline"
    )
    receive_s: float = Field(
        30, gt=0, le=3600, description="in which a body or a gRPC message must arrive"
    )
    wait_s: float = Field(
        10, gt=0, le=3600, description="for HTTP headers, for a reply to be read, for TLS"
    )
    keep_alive_s: float = Field(
        75,
        gt=0,
        le=3600,
        description="an idle HTTP connection stays open; longer than a proxy keeps its own",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="of web pages that may ask from a browser, such as https://app.example; * for "
        "all; none where none",
    )
    connections_max: int = Field(1000, ge=1, le=_MANY, description="open HTTP connections")
    grpc_connections_max: int = Field(4000, ge=1, le=_MANY, description="open gRPC connections")
    grpc_streams_max: int = Field(
        100, ge=1, le=_MANY, description="calls at once on one gRPC connection"
    )
    grpc_backlog: int = Field(
        256, ge=2, le=_MANY, description="gRPC calls that wait to be looked at; more are cancelled"
    )
    grpc_connection_age_s: float | None = Field(
        None, ge=1, le=1e6, description="after which a gRPC connection is told to come anew"
    )
    lame_duck_s: float = Field(
        0, ge=0, le=3600, description="how long a stop serves on while readiness says no"
    )
    drain_s: float = Field(
        10, ge=0, le=3600, description="how long a stop waits for work in flight"
    )

    tls_cert: Path | None = Field(None, description="PEM certificate chain, for gRPC and REST")
    tls_key: Path | None = Field(None, description="PEM private key")
    tls_client_ca: Path | None = Field(
        None, description="PEM certificates; callers must show one that these signed"
    )
    health_cert: Path | None = Field(
        None,
        description="PEM certificate that 'cloud-server health' shows where tls_client_ca is set; "
        "tls_cert where none",
    )
    health_key: Path | None = Field(None, description="PEM private key of health_cert")
    token: SecretStr | None = Field(
        None, description="one bearer token that callers must send; for everything but admin"
    )
    tokens: Path | None = Field(None, description="file of tokens, YAML or TOML")
    caller_limits: CallerLimits = CallerLimits()
    limit_by_address: bool = Field(
        False, description="hold each address to caller_limits, where no tokens are in force"
    )
    pid_file: Path | None = Field(
        None, description="file that holds the process id while the server runs; for 'reload'"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least that is logged"
    )
    log_format: Literal["text", "json"] = Field("text", description="of the log's lines")
    otlp_endpoint: str | None = Field(
        None, pattern="^https?://[^/]", description="receiver of traces, such as http://host:4318"
    )

    @field_validator("weights", "weights_root", mode="before")
    @classmethod
    def _one_or_more(cls, weights: object) -> object:
        if isinstance(weights, str):
            return tuple(filter(None, weights.split(os.pathsep)))
        return (weights,) if isinstance(weights, Path) else weights

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _words(cls, origins: object) -> object:
        return tuple(origins.replace(",", " ").split()) if isinstance(origins, str) else origins

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: scheme, host and perhaps a port in small letters, "
                    "and no path, such as https://app.example or http://localhost:3000"
                )
        return origins

    @field_validator("limits")
    @classmethod
    def _positive(cls, limits: Limits) -> Limits:
        for field in fields(limits):
            most = _MOST[field.name]
            if not 0 < getattr(limits, field.name) <= most:
                raise ValueError(f"{field.name} is more than 0 and at most {most}")
        return limits

    @field_validator("ray")
    @classmethod
    def _makes_sense(cls, scale: RayScale) -> RayScale:
        if problem := scale.problem():
            raise ValueError(problem)
        return scale

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().strip():
            raise ValueError("an empty token protects nothing; leave it out or set one")
        if token is not None and (fault := weak_token_fault(token.get_secret_value())):
            raise ValueError(f"the token {fault}")
        return token

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.grpc_port == self.http_port != 0:
            raise ValueError(
                f"grpc_port and http_port are both {self.grpc_port}: each needs a port of its own"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca goes with tls_cert and tls_key")
        if (self.health_cert is None) != (self.health_key is None):
            raise ValueError("health_cert and health_key go together: set both or none")
        return self

    @property
    def reflects(self) -> bool:
        """Whether gRPC's reflection is on."""
        if self.reflection is None:
            return self.token is None and self.tokens is None
        return self.reflection

    @property
    def tls(self) -> bool:
        """Whether callers must use TLS."""
        return self.tls_cert is not None

    def certificates(self) -> Certificates:
        """What its TLS files hold, read and checked now; nothing of them without TLS.

        Raises:
            ConfigError: one cannot be used; names the setting and the file.
        """
        names = ("tls_client_ca", "tls_cert", "tls_key")
        return read_certificates(self.tls_client_ca, self.tls_cert, self.tls_key, names)

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines may reach the server."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
