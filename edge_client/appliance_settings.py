"""Settings of a device that stands alone: who is told the answers, and what waits for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.edge_client.address import parse_address
from splitfer.edge_client.web_address import WebAddress, parse_web_address
from splitfer.shared.settings import Settings

_TOPIC = r"^[^\x00-\x1f\x7f+#/ ][^\x00-\x1f\x7f+# ]{0,99}$"


class ApplianceSettings(Settings):
    """What ``EdgeConfig`` has beside the recognition itself."""

    # host[:port] of an MQTT broker that is told the state; the port is 1883, or 8883 with TLS.
    mqtt: str | None = None
    mqtt_user: str | None = None
    mqtt_password: SecretStr | None = None
    # Certificates to trust (PEM); TLS is used where they are named, or `system` for the system's.
    mqtt_ca: Path | None = None
    mqtt_tls: bool = False
    mqtt_cert: Path | None = None
    mqtt_key: Path | None = None
    # auto: 5, and 3.1.1 where the broker knows no other.
    mqtt_version: Literal["auto", "5", "3.1.1"] = "auto"
    # What every topic begins with.
    mqtt_prefix: str = Field(default="splitfer", pattern=_TOPIC)
    # What Home Assistant's discovery begins with; none announces nothing.
    mqtt_discovery: str = Field(default="homeassistant", pattern=_TOPIC)
    # Whether the answers go to the broker one by one, beside the state.
    mqtt_answers: bool = False
    # An http(s):// address that the answers are posted to; it may hold a secret.
    webhook: SecretStr | None = None
    # What the posts are signed with (HMAC-SHA256).
    webhook_secret: SecretStr | None = None
    webhook_ca: Path | None = None
    # Which answers go to webhook and broker: those of a frame that differs from the one before by
    # the labels of its faces, or all.
    answers: Literal["changes", "all"] = "changes"
    # Where answers wait for a webhook or broker that is away: a file, within these bounds.
    outbox: Path | None = None
    outbox_max_mb: float = Field(default=50.0, ge=1, le=100_000)
    outbox_max_age_h: float = Field(default=72.0, gt=0, le=24 * 366)

    @field_validator("mqtt")
    @classmethod
    def _is_a_broker(cls, mqtt: str | None) -> str | None:
        if mqtt is not None:
            parse_address(mqtt if _has_port(mqtt) else f"{mqtt}:1883")
        return mqtt

    @field_validator("webhook")
    @classmethod
    def _is_a_web_address(cls, webhook: SecretStr | None) -> SecretStr | None:
        if webhook is not None:
            parse_web_address(webhook.get_secret_value())
        return webhook

    @model_validator(mode="after")
    def _sinks_are_whole(self) -> ApplianceSettings:
        if (self.mqtt_cert is None) != (self.mqtt_key is None):
            raise ValueError("mqtt_cert and mqtt_key go together: set both or none")
        if self.mqtt_cert is not None and not self.broker_tls:
            raise ValueError("mqtt_cert goes with TLS: set mqtt_tls or mqtt_ca")
        if self.mqtt_password is not None and self.mqtt_user is None:
            raise ValueError("mqtt_password goes with mqtt_user")
        if self.mqtt_answers and self.mqtt is None:
            raise ValueError("mqtt_answers needs a broker: mqtt host")
        return self

    @property
    def broker_tls(self) -> bool:
        """Whether the broker is spoken to over TLS."""
        return self.mqtt_tls or self.mqtt_ca is not None

    @property
    def broker(self) -> tuple[str, int] | None:
        """Host and port of the broker."""
        if self.mqtt is None:
            return None
        port = 8883 if self.broker_tls else 1883
        address = parse_address(self.mqtt if _has_port(self.mqtt) else f"{self.mqtt}:{port}")
        return address.host, address.port

    @property
    def webhook_address(self) -> WebAddress | None:
        """Where the answers are posted to."""
        return parse_web_address(self.webhook.get_secret_value()) if self.webhook else None


def _has_port(text: str) -> bool:
    return re.search(r"(^[^:]+|\]):\d+$", text) is not None
