"""The edge's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.source_name import names_a_path
from splitfer.shared.bearer_token import token_fault
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.settings import PathWhere, Settings, load_settings

__all__ = ["PREFIX", "EdgeConfig", "Objective", "Policy", "load_config"]

PREFIX = "SPLITFER_EDGE_"
# A single picture is not a frame of a stream: nobody waits for the next one, and a group of people
# is searched at its full size, which takes seconds on a small device.
PICTURE_SETTINGS: dict[str, Any] = {
    "deadline_ms": 5000.0,
    "search_side_px": 4096,
    "search_enlarged": True,
}
# What a command reads and writes, which a program does itself.
_OF_COMMANDS = ("source", "output", "output_max_mb", "log_level")
# Printable, and short enough for a column.
_NAME = r"^[^\x00-\x1f\x7f]{1,100}$"


class EdgeConfig(Settings):
    """Settings of ``edge-client run`` and ``classify`` and of ``Recognizer``."""

    # What `run` reads, as --source names it.
    source: Annotated[str | None, PathWhere(names_a_path)] = None
    # Where the answers go: a file of JSON lines, or - for standard output.
    output: Annotated[str, PathWhere(lambda name: name != "-")] = "-"
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
    # From the decoded frame, detection included; of single pictures PICTURE_SETTINGS.
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
    smallest_face_px: int = Field(default=Limits.smallest_face_px, ge=1, le=4096)
    faces_per_frame: int = Field(default=Limits.faces_per_frame, ge=1, le=Limits.faces_per_frame)
    # Of a picture file; a larger one is reduced.
    picture_pixels: int = Field(default=Limits.picture_pixels, ge=1, le=10**9)
    # Whether pictures of less than 480 px are enlarged up to twofold before the search.
    search_enlarged: bool = False
    # Whether each picture is a ready-cut face, in which none is searched for.
    crops: bool = False
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
    # Whether the token may go to another machine without TLS, where a tunnel or a network of one's
    # own keeps others from reading it.
    insecure_token: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    # A file of JSON lines that would grow beyond so many MB is renamed to FILE.1 first, in place of
    # the last one; without it nothing is ever removed.
    output_max_mb: float | None = Field(default=None, gt=0)
    # What records call this device; its host name where none is given.
    device_id: str | None = Field(default=None, pattern=_NAME)
    # What records call the source, beside its address.
    source_name: str | None = Field(default=None, pattern=_NAME)
    # A record says that the device lives where it wrote none for so long; 0 for never.
    heartbeat_s: float = Field(default=60.0, ge=0)
    # Whether a camera or stream that is not there at the start is waited for.
    wait_source: bool = True
    # How the pictures of an rtsp:// address come; the other is tried where the camera refuses.
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    # Receiver of traces (OTLP over HTTP), such as http://localhost:4318.
    otlp_endpoint: str | None = Field(default=None, pattern="^https?://[^/]")

    @field_validator("source", mode="before")
    @classmethod
    def _may_be_a_camera(cls, source: object) -> object:
        # 0 is a number in YAML and TOML.
        return str(source) if isinstance(source, int) and not isinstance(source, bool) else source

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
        self._token_is_safe()
        if self.crops and (self.policy is Policy.IMAGE or self.auto_image):
            raise ValueError("crops are not sent as pictures: choose another policy than image")
        return self

    def _token_is_safe(self) -> None:
        if self.token is None or self.server is None or self.server_ca is not None:
            return
        address = parse_address(self.server)
        if not address.is_this_machine and not self.insecure_token:
            raise ValueError(
                f"the token would go to {address} without TLS, and whoever is on the way could "
                "read it: name the authority of the server's certificate (server_ca), or, where "
                "a tunnel keeps it safe, set insecure_token to true"
            )

    @property
    def wanted(self) -> Policy:
        """The policy; without a server everything is local."""
        if self.server is None:
            return Policy.LOCAL
        return self.policy or Policy.AUTO


def load_config(
    config_file: Path | None, flags: Mapping[str, Any], single_pictures: bool = False
) -> EdgeConfig:
    """File, then ``SPLITFER_EDGE_*``, then flags: for ``run``, and with ``single_pictures`` for
    ``classify``, which searches longer and more closely where nothing else is set.

    Raises:
        ConfigError: names the key.
    """
    defaults = PICTURE_SETTINGS if single_pictures else {}
    return load_settings(EdgeConfig, PREFIX, config_file, flags, defaults)


def program_config(settings: Mapping[str, Any]) -> EdgeConfig:
    """What ``Recognizer`` is made of: ``SPLITFER_EDGE_*``, then ``settings``.

    Raises:
        ConfigError: names the key, also of a setting that only a command would obey.
    """
    for name in _OF_COMMANDS:
        if settings.get(name) is not None:
            raise ConfigError(f"{name}: it is for the command edge-client, not for a program")
    return load_config(None, settings, single_pictures=True)
