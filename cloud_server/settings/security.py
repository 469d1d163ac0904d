"""Settings of who may ask: certificates, tokens, limits of callers."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.bearer_token import weak_token_fault
from splitfer.shared.certificates import Certificates, read_certificates
from splitfer.shared.settings import Settings


class SecuritySettings(Settings):
    """TLS, tokens, and how much one caller may ask."""

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

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().strip():
            raise ValueError("an empty token protects nothing; leave it out or set one")
        if token is not None and (fault := weak_token_fault(token.get_secret_value())):
            raise ValueError(f"the token {fault}")
        return token

    @model_validator(mode="after")
    def _certificates_are_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca goes with tls_cert and tls_key")
        if (self.health_cert is None) != (self.health_key is None):
            raise ValueError("health_cert and health_key go together: set both or none")
        return self

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
