"""The server's settings."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from splitfer.cloud_server.settings.bounds import MANY
from splitfer.cloud_server.settings.listener import ListenerSettings
from splitfer.cloud_server.settings.ray_scale import RayScale
from splitfer.cloud_server.settings.security import SecuritySettings
from splitfer.shared.contracts import Device, Limits
from splitfer.shared.detectors import DetectorName
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.wire import DEADLINE_MS_MAX

PREFIX = "SPLITFER_CLOUD_"
_MOST_SIDE_PX = 16_384
_MOST = {
    "faces_per_frame": 10_000,
    "smallest_face_px": _MOST_SIDE_PX,
    "body_bytes": 2**30,
    "picture_pixels": 10**9,
    "infer_message_bytes": 2**30,
}


class CloudConfig(SecuritySettings, ListenerSettings):
    """Every setting of ``cloud-server``; ``shared/settings.py`` says where values come from."""

    engine: Literal["process", "ray"] = Field(
        "process", description="one process, or Ray Serve (the extra ray)"
    )
    ray: RayScale = RayScale()

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
    tail: str | None = Field(
        None, description="default tail; where none the manifest's, and the backbone for pictures"
    )
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
    queue_max: int = Field(256, ge=1, le=MANY, description="faces that wait for a tail")
    stream_in_flight: int = Field(
        64,
        ge=0,
        le=MANY,
        description="messages in flight on one InferStream or WebSocket; 0 offers no streams",
    )
    latent_streams_max: int = Field(
        256, ge=0, le=MANY, description="open WebSockets of latents; 0 offers none"
    )
    picture_threads: int = Field(2, ge=1, le=256, description="pictures worked on at once")
    picture_decode_s: float = Field(
        5, gt=0, le=3600, description="processor time in which a picture must be decoded"
    )
    pictures_max: int = Field(16, ge=1, le=MANY, description="pictures worked on or waiting")
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
    lame_duck_s: float = Field(
        0, ge=0, le=3600, description="how long a stop serves on while readiness says no"
    )
    drain_s: float = Field(
        10, ge=0, le=3600, description="how long a stop waits for work in flight"
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

    @property
    def reflects(self) -> bool:
        """Whether gRPC's reflection is on."""
        if self.reflection is None:
            return self.token is None and self.tokens is None
        return self.reflection
