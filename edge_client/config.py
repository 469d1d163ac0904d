"""The edge's settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from splitfer.edge_client.choices import Policy
from splitfer.edge_client.settings.appliance import ApplianceSettings
from splitfer.edge_client.settings.recognition import RecognitionSettings
from splitfer.edge_client.settings.routing import RoutingSettings
from splitfer.edge_client.settings.server import ServerSettings
from splitfer.edge_client.settings.source import SourceSettings
from splitfer.edge_client.source_name import PRINTABLE_NAME, names_a_path, slug
from splitfer.shared.errors import ConfigError
from splitfer.shared.settings import PathWhere, load_settings

PREFIX = "SPLITFER_EDGE_"
# A single picture is not a frame of a stream: nobody waits for the next one, and a group of people
# is searched at its full size, which takes seconds on a small device.
PICTURE_SETTINGS: dict[str, Any] = {
    "deadline_ms": 5000.0,
    "search_side_px": 4096,
    "search_enlarged": True,
}
# What a command reads, writes, tells and shows, which a program does itself.
_OF_COMMANDS = frozenset({
    *SourceSettings.model_fields, *ApplianceSettings.model_fields, "weights_key",
    "weights_every_h", "output", "output_max_mb", "log_level", "device_id", "heartbeat_s",
})  # fmt: skip


class EdgeConfig(
    ApplianceSettings, RecognitionSettings, RoutingSettings, ServerSettings, SourceSettings
):
    """Settings of ``edge-client run`` and ``classify`` and, as far as they are of recognising, of
    ``Recognizer``."""

    output: Annotated[str, PathWhere(lambda name: name != "-")] = Field(
        "-", description="where the answers go: a file of JSON lines, or - for standard output"
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
        pattern=PRINTABLE_NAME,
        description="what records call this device; its host name where none is given",
    )
    heartbeat_s: float = Field(
        60.0,
        ge=0,
        description="a record says that the device lives where it wrote none for so long; 0 for "
        "never",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/]",
        description="receiver of traces (OTLP over HTTP), such as http://localhost:4318",
    )

    @model_validator(mode="after")
    def _policy_has_its_server(self) -> Self:
        alone = (None, Policy.AUTO, Policy.LOCAL)
        if self.server is None and self.policy is not None and self.policy not in alone:
            raise ValueError(f"policy {self.policy.value} needs a server: --server host:port")
        if self.weights_key is not None and self.server is None:
            raise ValueError("weights_key needs a server, which newer weights come from")
        if self.privacy == "aggregate" and self.server is not None:
            raise ValueError("privacy aggregate sends nothing of a face: leave the server out")
        if self.crops and (self.policy is Policy.IMAGE or self.auto_image):
            raise ValueError("crops are not sent as pictures: choose another policy than image")
        return self

    @model_validator(mode="after")
    def _cameras_are_whole(self) -> Self:
        if not self.cameras:
            return self
        if self.source is not None or self.source_name is not None:
            raise ValueError(
                "cameras stand in place of source and source_name: set the one or the other"
            )
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

    @property
    def effective_policy(self) -> Policy:
        """The policy; without a server everything is local."""
        if self.server is None:
            return Policy.LOCAL
        return self.policy or Policy.AUTO


def load_config(
    config_file: Path | None,
    flags: Mapping[str, Any],
    single_pictures: bool = False,
    of_a_program: bool = False,
) -> EdgeConfig:
    """File, then ``SPLITFER_EDGE_*``, then flags: for ``run``, and with ``single_pictures`` for
    ``classify``, which searches longer and more closely where nothing else is set. The flags of
    ``of_a_program`` are keywords in Python.

    Raises:
        ConfigError: names the key.
    """
    defaults = PICTURE_SETTINGS if single_pictures else {}
    config = load_settings(EdgeConfig, PREFIX, config_file, flags, defaults, of_a_program)
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
    for name, value in settings.items():
        if name in _OF_COMMANDS and value is not None:
            raise ConfigError(f"{name}: it is for the command edge-client, not for a program")
    return load_config(None, settings, single_pictures=True, of_a_program=True)
