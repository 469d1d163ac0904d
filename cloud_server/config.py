"""The server's settings."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.bearer_token import token_fault
from shared.contracts import Device, Limits
from shared.prior import Prior
from shared.settings import Settings
from shared.vision.quality import UNCERTAIN_BELOW

PREFIX = "SPLITFER_CLOUD_"


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
        if self.ingress_replicas < 1 or self.tail_replicas_min < 1:
            return "there is at least one replica"
        if self.tail_replicas_max < self.tail_replicas_min:
            return "tail_replicas_max is at least tail_replicas_min"
        if self.ingress_cpus < 0 or self.tail_cpus < 0:
            return "ingress_cpus and tail_cpus are at least 0"
        if self.tail_ongoing <= 0 or self.tail_queued_max < 1:
            return "tail_ongoing and tail_queued_max are more than 0"
        return None


class CallerLimits(BaseModel):
    """Bounds on one caller; None bounds nothing.

    ``burst`` requests may come at once after a silence: those of one second where it is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    burst: Annotated[int | None, Field(ge=1)] = None
    concurrent: Annotated[int | None, Field(ge=1)] = None

    @property
    def most_at_once(self) -> float:
        """What a full bucket holds; at least one request, else none would ever be let in."""
        if self.requests_per_s is None:
            return math.inf
        return float(self.burst or max(1.0, self.requests_per_s))


class CloudConfig(Settings):
    """Every setting of ``cloud-server``; ``shared.settings`` says where values come from."""

    engine: Literal["process", "ray"] = Field(
        "process", description="one process, or Ray Serve (splitfer[ray])"
    )
    ray: RayScale = RayScale()
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    grpc_port: int = Field(50051, ge=0, le=65535, description="0 takes any free port")
    http_port: int = Field(8080, ge=0, le=65535, description="0 takes any free port")

    # In the environment as in PATH: one string, a colon between two folders.
    weights: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders, the default first; all shipped weights where none"
    )
    weights_root: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders below which 'models load' may load weights; nowhere where none"
    )
    watch: Path | None = Field(
        None, description="folder whose folders of weights are served as they come and go"
    )
    tail: str | None = Field(None, description="default tail; the manifest's where none")

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
    threads: int = Field(1, ge=1, description="threads of each network")
    batch_max: int = Field(
        0, ge=0, description="faces in one run of a tail; 0: as many as run in batch_goal_ms"
    )
    batch_goal_ms: float = Field(
        25, gt=0, le=10_000, description="longest run of a tail where batch_max is 0"
    )
    batch_wait_ms: float = Field(
        0, ge=0, le=1000, description="wait for more faces; 0 takes what is queued"
    )
    queue_max: int = Field(256, ge=1, description="faces that wait for a tail")
    stream_in_flight: int = Field(
        64, ge=0, description="messages in flight on one InferStream; 0 offers no streams"
    )
    picture_threads: int = Field(2, ge=1, description="pictures worked on at once")
    picture_decode_s: float = Field(
        5, gt=0, le=3600, description="processor time in which a picture must be decoded"
    )
    pictures_max: int = Field(16, ge=1, description="pictures worked on or waiting")
    search_side_px: int = Field(640, ge=80, description="longer side of the searched picture")
    limits: Limits = Limits()

    deadline_ms: float = Field(
        30_000, gt=0, le=3_600_000, description="for callers that name no deadline"
    )
    receive_s: float = Field(
        30, gt=0, le=3600, description="in which a body or a gRPC message must arrive"
    )
    wait_s: float = Field(
        10, gt=0, le=3600, description="for HTTP headers, for a reply to be read, for TLS"
    )
    connections_max: int = Field(1000, ge=1, description="open HTTP connections")
    grpc_connections_max: int = Field(4000, ge=1, description="open gRPC connections")
    grpc_streams_max: int = Field(1000, ge=1, description="calls at once on one gRPC connection")
    grpc_backlog: int = Field(
        14, ge=2, description="gRPC calls that wait to be looked at; more are cancelled"
    )
    grpc_connection_age_s: float | None = Field(
        None, ge=1, description="after which a gRPC connection is told to come anew"
    )
    drain_s: float = Field(
        10, ge=0, le=3600, description="how long a stop waits for work in flight"
    )

    tls_cert: Path | None = Field(None, description="PEM certificate chain, for gRPC and REST")
    tls_key: Path | None = Field(None, description="PEM private key")
    tls_client_ca: Path | None = Field(
        None, description="PEM certificates; callers must show one that these signed"
    )
    token: SecretStr | None = Field(
        None, description="one bearer token that callers must send; it may do everything"
    )
    tokens: Path | None = Field(None, description="file of tokens, YAML or TOML")
    caller_limits: CallerLimits = CallerLimits()
    limit_by_address: bool = Field(
        False, description="hold each address to caller_limits, where no tokens are in force"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    otlp_endpoint: str | None = Field(
        None, pattern="^https?://[^/]", description="receiver of traces, such as http://host:4318"
    )

    @field_validator("weights", "weights_root", mode="before")
    @classmethod
    def _one_or_more(cls, weights: object) -> object:
        if isinstance(weights, str):
            return tuple(filter(None, weights.split(os.pathsep)))
        return (weights,) if isinstance(weights, Path) else weights

    @field_validator("limits")
    @classmethod
    def _positive(cls, limits: Limits) -> Limits:
        for field in fields(limits):
            if getattr(limits, field.name) <= 0:
                raise ValueError(f"{field.name} is more than 0")
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
        if token is not None and (fault := token_fault(token.get_secret_value())):
            raise ValueError(f"the token {fault}")
        return token

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca goes with tls_cert and tls_key")
        return self

    @property
    def tls(self) -> bool:
        """Whether callers must use TLS."""
        return self.tls_cert is not None

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines may reach the server."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
