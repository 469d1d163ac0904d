"""The edge's settings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from edge_client.address import parse_address
from shared.bearer_token import token_fault
from shared.contracts import Limits
from shared.labels import LabelSet
from shared.prior import Prior
from shared.settings import Settings, load_settings
from shared.vision.quality import UNCERTAIN_BELOW

PREFIX = "SPLITFER_EDGE_"


class Objective(StrEnum):
    """What the best answer is, among those foretold to be there in time."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    BYTES = "bytes"


class Policy(StrEnum):
    """Who answers: see docs/policy.md."""

    AUTO = "auto"
    CASCADE = "cascade"
    CLOUD = "cloud"
    LOCAL = "local"
    IMAGE = "image"


class EdgeConfig(Settings):
    """Settings of ``edge-client run`` and ``classify``, of the device and of its link."""

    # host:port; without one every answer is local.
    server: str | None = None
    # auto where a server is named, else local.
    policy: Policy | None = None
    # What policy `auto` looks for among the ways that are in time.
    objective: Objective = Objective.ACCURACY
    # Share of right answers that objective `bytes` asks for.
    min_accuracy: float = Field(default=0.0, ge=0, le=1)
    # Cap on what policies `auto` and `cascade` send.
    max_bytes_per_s: float | None = Field(default=None, gt=0)
    # Whether `auto` may send whole pictures.
    auto_image: bool = False
    # Policy `cascade` asks about faces with less confidence than this.
    cascade_threshold: float = Field(default=0.8, ge=0, le=1)
    # Of the frames that ask the server: where the device answers too, for comparison.
    shadow_share: float = Field(default=0.01, ge=0, le=1)
    # From the decoded frame, detection included.
    deadline_ms: float = Field(default=150, gt=0, le=60_000)
    # Of ONNX Runtime, per network.
    threads: int = Field(default=1, ge=1, le=64)
    # A folder of weights; the shipped ones where none is named.
    weights: Path | None = None
    # How fine latents are sent, by name; the weights' default where none is named.
    rate: str = ""
    # Whose labels the answers are; the weights' default where none is named.
    labels: LabelSet | None = None
    # How common the classes are taken to be: as in training (natural), or all alike (balanced).
    # The default is natural where none is named.
    prior: Prior | None = None
    # Answers with less confidence than this are marked uncertain; 0 marks none. Confidence falls
    # with the quality of the face's picture.
    uncertain_below: float = Field(default=UNCERTAIN_BELOW, ge=0, le=1)
    # Longer side of the picture that faces are searched in: time grows with its square, and a
    # face must be about 80 px wide in it.
    search_side_px: int = Field(default=480, ge=80, le=4096)
    smallest_face_px: int = Field(default=Limits.smallest_face_px, ge=1)
    faces_per_frame: int = Field(default=Limits.faces_per_frame, ge=1, le=Limits.faces_per_frame)
    picture_pixels: int = Field(default=Limits.picture_pixels, ge=1)
    # Of the picture that path `image` sends.
    jpeg_quality: int = Field(default=85, ge=1, le=95)
    # Whether latents go on a stream that stays open, which costs less than a call each: where the
    # server offers one (auto), the same and said where it offers none (on), or never (off).
    stream: Literal["auto", "on", "off"] = "auto"
    # Certificates to trust (PEM); TLS is used where they are named.
    server_ca: Path | None = None
    # What the server asks for where it wants to know the device: a certificate and its key (PEM).
    client_cert: Path | None = None
    client_key: Path | None = None
    token: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    # A file of JSON lines that would grow beyond so many MB is renamed to FILE.1 first, in place of
    # the last one; without it nothing is ever removed.
    output_max_mb: float | None = Field(default=None, gt=0)
    # Receiver of traces (OTLP over HTTP), such as http://localhost:4318.
    otlp_endpoint: str | None = Field(default=None, pattern="^https?://[^/]")

    @field_validator("server")
    @classmethod
    def _host_and_port(cls, server: str | None) -> str | None:
        if server is not None:
            parse_address(server)
        return server

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and (fault := token_fault(token.get_secret_value())):
            raise ValueError(f"the token {fault}")
        return token

    @model_validator(mode="after")
    def _policy_has_its_server(self) -> EdgeConfig:
        alone = (None, Policy.AUTO, Policy.LOCAL)
        if self.server is None and self.policy is not None and self.policy not in alone:
            raise ValueError(f"policy {self.policy.value} needs a server: --server host:port")
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key go together: set both or none")
        if self.client_cert is not None and self.server_ca is None:
            raise ValueError("client_cert goes with server_ca, which turns TLS on")
        return self

    @property
    def wanted(self) -> Policy:
        """The policy; without a server everything is local."""
        if self.server is None:
            return Policy.LOCAL
        return self.policy or Policy.AUTO


def load_config(config_file: Path | None, flags: dict[str, Any]) -> EdgeConfig:
    """File, then ``SPLITFER_EDGE_*``, then flags.

    Raises:
        ConfigError: names the key.
    """
    return load_settings(EdgeConfig, PREFIX, config_file, flags)
