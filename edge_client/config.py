"""The edge's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.contracts import Limits
from shared.contracts import Path as AnswerPath
from shared.settings import Settings, load_settings

PREFIX = "SPLITFER_EDGE_"


class EdgeConfig(Settings):
    """Settings of ``edge-client run`` and ``classify``, of the device and of its link."""

    # host:port; without one every answer is local.
    server: str | None = None
    # cloud where a server is named, else local.
    policy: AnswerPath | None = None
    # From the decoded frame, detection included.
    deadline_ms: float = Field(default=150, gt=0, le=60_000)
    # Of ONNX Runtime, per network.
    threads: int = Field(default=1, ge=1, le=64)
    # A folder of weights; the shipped ones where none is named.
    weights: Path | None = None
    # How fine latents are sent, by name; the weights' default where none is named.
    rate: str = ""
    # Longer side of the picture that faces are searched in: time grows with its square, and a
    # face must be about 80 px wide in it.
    search_side_px: int = Field(default=480, ge=80, le=4096)
    smallest_face_px: int = Field(default=Limits.smallest_face_px, ge=1)
    faces_per_frame: int = Field(default=Limits.faces_per_frame, ge=1, le=Limits.faces_per_frame)
    picture_pixels: int = Field(default=Limits.picture_pixels, ge=1)
    # Of the picture that path `image` sends.
    jpeg_quality: int = Field(default=85, ge=1, le=95)
    # Certificates to trust (PEM); TLS is used where they are named.
    server_ca: Path | None = None
    token: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @field_validator("server")
    @classmethod
    def _host_and_port(cls, server: str | None) -> str | None:
        if server is not None:
            host, _, port = server.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"expected host:port, not {server!r}")
        return server

    @model_validator(mode="after")
    def _policy_has_its_server(self) -> EdgeConfig:
        if self.server is None and self.policy in (AnswerPath.CLOUD, AnswerPath.IMAGE):
            raise ValueError(f"policy {self.policy.value} needs a server: --server host:port")
        return self

    @property
    def wanted_path(self) -> AnswerPath:
        """The path that answers while nothing is wrong."""
        if self.policy is not None:
            return self.policy
        return AnswerPath.CLOUD if self.server else AnswerPath.LOCAL


def load_config(config_file: Path | None, flags: dict[str, Any]) -> EdgeConfig:
    """File, then ``SPLITFER_EDGE_*``, then flags.

    Raises:
        ConfigError: names the key.
    """
    return load_settings(EdgeConfig, PREFIX, config_file, flags)
