"""Settings of the listeners: addresses, connections, and how long a peer is waited for."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from splitfer.cloud_server.settings.bounds import MANY
from splitfer.shared.settings import Settings

# As browsers write it.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@?#A-Z]+")


class ListenerSettings(Settings):
    """Where gRPC and HTTP listen, and what they bear."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    grpc_port: int = Field(50051, ge=0, le=65535, description="port of gRPC; 0 takes any free one")
    http_port: int = Field(8080, ge=0, le=65535, description="port of HTTP; 0 takes any free one")
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
    connections_max: int = Field(1000, ge=1, le=MANY, description="open HTTP connections")
    grpc_connections_max: int = Field(4000, ge=1, le=MANY, description="open gRPC connections")
    grpc_streams_max: int = Field(
        100, ge=1, le=MANY, description="calls at once on one gRPC connection"
    )
    grpc_backlog: int = Field(
        256, ge=2, le=MANY, description="gRPC calls that wait to be looked at; more are cancelled"
    )
    grpc_connection_age_s: float | None = Field(
        None, ge=1, le=1e6, description="after which a gRPC connection has to be opened anew"
    )

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

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.grpc_port == self.http_port != 0:
            raise ValueError(
                f"grpc_port and http_port are both {self.grpc_port}: each needs a port of its own"
            )
        return self

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines may reach the server."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
