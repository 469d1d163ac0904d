"""The edge's settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.settings.appliance import ApplianceSettings
from splitfer.edge_client.settings.source import SourceSettings
from splitfer.edge_client.source_name import names_a_path, slug
from splitfer.shared.bearer_token import token_fault
from splitfer.shared.contracts import Limits
from splitfer.shared.detectors import DetectorName
from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LabelSet
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.settings import PathWhere, load_settings

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


class EdgeConfig(SourceSettings, ApplianceSettings):
    """Settings of ``edge-client run`` and ``classify`` and of ``Recognizer``."""

    source: Annotated[str | None, PathWhere(names_a_path)] = Field(
        None, description="what `run` reads, as --source names it"
    )
    output: Annotated[str, PathWhere(lambda name: name != "-")] = Field(
        "-", description="where the answers go: a file of JSON lines, or - for standard output"
    )
    server: str | None = Field(None, description="host:port; without one every answer is local")
    policy: Policy | None = Field(None, description="auto where a server is named, else local")
    objective: Objective = Field(
        Objective.ACCURACY,
        description="what policy `auto` looks for among the ways that are in time",
    )
    min_accuracy: float = Field(
        0.0, ge=0, le=1, description="share of right answers that objective `bytes` asks for"
    )
    max_bytes_per_s: float | None = Field(
        None, gt=0, description="cap on what policies `auto` and `cascade` send"
    )
    auto_image: bool = Field(False, description="whether `auto` may send whole pictures")
    cascade_threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="policy `cascade` asks about faces with less confidence than this",
    )
    cascade_again_s: float = Field(
        1.0,
        ge=0,
        le=3600,
        description="in a video policy `cascade` asks about a face that stays below that again "
        "after so many seconds (at first sooner, from a sixteenth of it on), or where the device "
        "sees something else; 0 asks in each frame",
    )
    shadow_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="of the frames that ask the server: where the device answers too, for "
        "comparison",
    )
    deadline_ms: float = Field(
        150,
        gt=0,
        le=60_000,
        description="per frame, detection included (of a single picture 5000)",
    )
    threads: int = Field(1, ge=1, le=64, description="threads of ONNX Runtime, per network")
    weights: Path | None = Field(
        None, description="a folder of weights; the shipped ones where none is named"
    )
    weights_key: Path | None = Field(
        None,
        description="public key (PEM, Ed25519) of who publishes weights: where it is named, a run "
        "on a camera or stream takes newer weights from its server that are signed with it",
    )
    weights_every_h: float = Field(
        6.0, gt=0, le=24 * 366, description="how often the server is asked for newer weights, in h"
    )
    local_model: str = Field(
        BACKBONE,
        description="what answers on the device: `backbone`, or another model of the weights",
    )
    rate: str = Field(
        "",
        description="how fine latents are sent, by name; the weights' default where none is named",
    )
    labels: LabelSet | None = Field(
        None, description="whose labels the answers are; the weights' default where none is named"
    )
    prior: Prior | None = Field(
        None,
        description="how common the classes are taken to be: as in training (natural), or all "
        "alike (balanced). The default is natural where none is named",
    )
    uncertain_below: float = Field(
        UNCERTAIN_BELOW,
        ge=0,
        le=1,
        description="answers with less confidence than this are marked uncertain; 0 marks none. "
        "Confidence falls with the quality of the face's picture",
    )
    detector: DetectorName = Field(
        DetectorName.DLIB,
        description="what finds faces: dlib upright frontal ones of about 80 px and more in the "
        "searched picture, yunet also turned and small ones",
    )
    search_side_px: int = Field(
        480,
        ge=80,
        le=4096,
        description="longer side of the searched picture (of a single picture 4096): time grows "
        "with its square; how large a face must be in it says `detector`",
    )
    search_every: int = Field(
        1,
        ge=1,
        le=100,
        description="the whole of a video's frame is searched in every so many frames only; in "
        "between faces are looked for about where they were",
    )
    smooth_s: float = Field(
        2.0, gt=0, le=3600, description="seconds that the smoothed answer of a face looks back"
    )
    lost_s: float = Field(
        1.0, gt=0, le=3600, description="a face that is not found for so many seconds has left"
    )
    smallest_face_px: int = Field(
        Limits.smallest_face_px, ge=1, le=4096, description="smaller faces are not answered"
    )
    faces_per_frame: int = Field(
        Limits.faces_per_frame,
        ge=1,
        le=Limits.faces_per_frame,
        description="the largest so many faces of a picture are answered",
    )
    picture_pixels: int = Field(
        Limits.picture_pixels,
        ge=1,
        le=10**9,
        description="pixels of a picture; a larger one is reduced",
    )
    search_enlarged: bool = Field(
        False,
        description="whether pictures of less than 480 px are enlarged up to twofold before the "
        "search",
    )
    crops: bool = Field(
        False, description="whether each picture is a ready-cut face, in which none is searched for"
    )
    jpeg_quality: int = Field(85, ge=1, le=95, description="of the JPEG that path `image` sends")
    stream: Literal["auto", "on", "off"] = Field(
        "auto",
        description="whether latents go on a stream that stays open, which costs less than a call"
        " each: where the server offers one (auto), the same and said where it offers"
        " none (on), or never (off)",
    )
    server_ca: Path | None = Field(
        None, description="certificates to trust (PEM); TLS is used where they are named"
    )
    client_cert: Path | None = Field(
        None,
        description="what the server asks for where it wants to know the device: a certificate "
        "and its key (PEM)",
    )
    client_key: Path | None = Field(None, description="private key of client_cert (PEM)")
    token: SecretStr | None = Field(None, description="bearer token that the server asks for")
    insecure_token: bool = Field(
        False,
        description="whether the token may go to another machine without TLS, where a tunnel "
        "keeps others from reading it",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="least level of what is logged to standard error"
    )
    output_max_mb: float | None = Field(
        None,
        gt=0,
        description="a file of JSON lines that would grow beyond so many MB is renamed to FILE.1 "
        "first, in place of the last one; without it nothing is ever removed",
    )
    device_id: str | None = Field(
        None,
        pattern=_NAME,
        description="what records call this device; its host name where none is given",
    )
    source_name: str | None = Field(
        None, pattern=_NAME, description="what records call the source, beside its address"
    )
    heartbeat_s: float = Field(
        60.0,
        ge=0,
        description="a record says that the device lives where it wrote none for so long; 0 for "
        "never",
    )
    wait_source: bool = Field(
        True, description="whether a camera or stream that is not there at the start is waited for"
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(
        "tcp",
        description="how the pictures of an rtsp:// address come; the other is tried where the "
        "camera refuses",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/]",
        description="receiver of traces (OTLP over HTTP), such as http://localhost:4318",
    )

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
        if self.weights_key is not None and self.server is None:
            raise ValueError("weights_key needs a server, which newer weights come from")
        if self.privacy == "aggregate" and self.server is not None:
            raise ValueError("privacy aggregate sends nothing of a face: leave the server out")
        if self.crops and (self.policy is Policy.IMAGE or self.auto_image):
            raise ValueError("crops are not sent as pictures: choose another policy than image")
        return self

    @model_validator(mode="after")
    def _cameras_are_whole(self) -> EdgeConfig:
        if not self.cameras:
            return self
        if self.source is not None or self.source_name is not None:
            raise ValueError("cameras stand in place of source and source_name: set the one or the "
                             "other")  # fmt: skip
        if self.view:
            raise ValueError("view shows one camera: leave it out where there are several")
        if self.outbox is not None:
            raise ValueError("outbox: each of several cameras has its own; leave it out")
        names = set()
        for number, config in enumerate(self.each_camera(), 1):
            if config.source is None or config.source_name is None:
                raise ValueError(f"camera {number}: name its source and its source_name")
            name = slug(config.source_name)
            if name in names:
                raise ValueError(f"camera {number}: another one is called {config.source_name} too")
            names.add(name)
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
    config = load_settings(EdgeConfig, PREFIX, config_file, flags, defaults)
    if config.cameras and config_file is not None:
        folder = Path(os.path.abspath(config_file)).parent
        cameras = [_from_folder(camera, folder) for camera in config.cameras]
        config = EdgeConfig(**{**dict(config), "cameras": cameras})
    return config


def _from_folder(camera: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    source = camera["source"]
    a_path = isinstance(source, str) and names_a_path(source)
    return {**camera, "source": str(folder / source)} if a_path else dict(camera)


def program_config(settings: Mapping[str, Any]) -> EdgeConfig:
    """What ``Recognizer`` is made of: ``SPLITFER_EDGE_*``, then ``settings``.

    Raises:
        ConfigError: names the key, also of a setting that only a command would obey.
    """
    for name in _OF_COMMANDS:
        if settings.get(name) is not None:
            raise ConfigError(f"{name}: it is for the command edge-client, not for a program")
    return load_config(None, settings, single_pictures=True)
