"""Settings of the connection to the server: where it is, TLS, the token."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.edge_client.address import parse_address
from splitfer.shared.bearer_token import token_fault
from splitfer.shared.settings import Settings


class ServerSettings(Settings):
    """The server, and what the device shows to it."""

    server: str | None = Field(None, description="host:port; without one every answer is local")
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
    def _certificate_is_whole(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key go together: set both or none")
        if self.client_cert is not None and self.server_ca is None:
            raise ValueError("client_cert goes with server_ca, which turns TLS on")
        return self

    @model_validator(mode="after")
    def _token_is_safe(self) -> Self:
        if self.token is None or self.server is None or self.server_ca is not None:
            return self
        address = parse_address(self.server)
        if not address.is_this_machine and not self.insecure_token:
            raise ValueError(
                f"the token would go to {address} without TLS, and whoever is on the way could "
                "read it: name the authority of the server's certificate (server_ca), or, where "
                "a tunnel keeps it safe, set insecure_token to true"
            )
        return self
