"""Settings of a device that stands alone: privacy, MQTT, webhook, outbox, its HTTP server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from splitfer.edge_client.address import Address, parse_address
from splitfer.edge_client.web_address import WebAddress, parse_web_address
from splitfer.shared.bearer_token import token_fault
from splitfer.shared.settings import Settings

# A level of a topic without what has a meaning there.
_TOPIC = r"^[^\x00-\x1f\x7f+#/ ][^\x00-\x1f\x7f+# ]{0,99}$"

_VIEW = "127.0.0.1:8600"


class ApplianceSettings(Settings):
    """Where answers and health go, and what is kept."""

    purpose: str | None = Field(
        None,
        pattern=r"^[^\x00-\x1f\x7f]{1,300}$",
        description="what a camera or stream watches people for: a run on one does not start "
        "without. It is logged and shown",
    )
    privacy: Literal["full", "aggregate"] = Field(
        "full",
        description="what leaves the run: each answer, or with `aggregate` counts per interval "
        "alone, with no server and no pictures",
    )
    aggregate_every_s: float = Field(
        60.0, ge=10, le=86_400, description="the interval of `aggregate`, in seconds"
    )
    blur_faces: bool = Field(
        False, description="whether faces are made unrecognisable in pictures kept or shown"
    )
    keep_pictures_h: float | None = Field(
        None,
        gt=0,
        le=24 * 366,
        description="how long a camera's pictures (`--annotate`, `--contact-sheet`) are kept, in "
        "hours: a run on a camera or stream that writes some does not start without",
    )
    audit: Path | None = Field(
        None,
        description="a file of JSON lines that says when a camera was watched, what for and where "
        "answers went; in the user's folder of state where none is named",
    )
    mqtt: str | None = Field(
        None,
        description="host or host:port of an MQTT broker that gets the state; the port is 1883, "
        "with TLS 8883",
    )
    mqtt_user: str | None = Field(None, description="who the device is to the broker")
    mqtt_password: SecretStr | None = Field(None, description="password of mqtt_user")
    mqtt_tls: bool = Field(
        False, description="whether the broker is spoken to over TLS, trusting what the system does"
    )
    mqtt_ca: Path | None = Field(
        None, description="certificates to trust for the broker (PEM); turns TLS on"
    )
    mqtt_cert: Path | None = Field(
        None, description="certificate that the device shows to the broker (PEM)"
    )
    mqtt_key: Path | None = Field(None, description="private key of mqtt_cert (PEM)")
    mqtt_version: Literal["auto", "5", "3.1.1"] = Field(
        "auto", description="of the protocol: 5, and 3.1.1 where the broker knows no other (auto)"
    )
    mqtt_prefix: str = Field(
        "splitfer", pattern=_TOPIC, description="what the device's topics begin with"
    )
    mqtt_discovery: str | None = Field(
        "homeassistant",
        pattern=_TOPIC,
        description="what the topics of Home Assistant's discovery begin with; null announces "
        "nothing",
    )
    mqtt_answers: bool = Field(
        False, description="whether the answers go to the broker one by one, beside the state"
    )
    webhook: SecretStr | None = Field(
        None, description="http(s):// address that the answers are posted to"
    )
    webhook_secret: SecretStr | None = Field(
        None, description="what the posts are signed with (HMAC-SHA256)"
    )
    webhook_ca: Path | None = Field(
        None, description="certificates to trust for the webhook (PEM); the system's where none is"
    )
    answers: Literal["changes", "all"] = Field(
        "changes",
        description="what goes to webhook and broker: that a face appears, leaves or shows "
        "something else, or every answer beside",
    )
    outbox: Path | None = Field(
        None,
        description="a file in which answers wait for a webhook or broker that is away; in the "
        "user's folder of state where none is named",
    )
    outbox_max_mb: float = Field(
        50.0, ge=1, le=100_000, description="what may wait there, in MB; the oldest go first"
    )
    outbox_max_age_h: float = Field(
        72.0, gt=0, le=24 * 366, description="how long something may wait there, in hours"
    )

    view: bool = Field(
        False, description="whether a live page with the picture is served on `listen`"
    )
    listen: str | None = Field(
        None,
        description="host:port of the device's own HTTP server: health (/healthz), metrics "
        "(/metrics) and with `view` the live page; 127.0.0.1:8600 where only `view` is set",
    )
    listen_token: SecretStr | None = Field(
        None,
        description="what the HTTP server asks for where `listen` is not loopback; a new one each "
        "start where none is set",
    )

    @field_validator("listen")
    @classmethod
    def _listens_somewhere(cls, listen: str | None) -> str | None:
        if listen is not None:
            parse_address(listen)
        return listen

    @field_validator("listen_token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and (fault := token_fault(token.get_secret_value())):
            raise ValueError(f"the token {fault}")
        return token

    @field_validator("mqtt")
    @classmethod
    def _is_a_broker(cls, mqtt: str | None) -> str | None:
        if mqtt is not None:
            parse_address(_with_port(mqtt, 1883))
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
            raise ValueError("mqtt_answers needs a broker: set mqtt")
        if self.webhook_secret is not None and self.webhook is None:
            raise ValueError("webhook_secret goes with webhook")
        if self.privacy == "aggregate" and self.view and not self._view_stays_here:
            raise ValueError("privacy aggregate shows no live page elsewhere than on loopback")
        return self

    @property
    def _view_stays_here(self) -> bool:
        address = self.listen_address
        return address is None or address.is_this_machine

    @property
    def broker_tls(self) -> bool:
        """Whether the broker is spoken to over TLS."""
        return self.mqtt_tls or self.mqtt_ca is not None

    @property
    def broker(self) -> tuple[str, int] | None:
        """Host and port of the broker."""
        if self.mqtt is None:
            return None
        address = parse_address(_with_port(self.mqtt, 8883 if self.broker_tls else 1883))
        return address.host, address.port

    @property
    def listen_address(self) -> Address | None:
        """Where the device's own HTTP server listens; None where it has none."""
        if self.listen is not None:
            return parse_address(self.listen)
        return parse_address(_VIEW) if self.view else None

    @property
    def webhook_address(self) -> WebAddress | None:
        """Where the answers are posted to."""
        return parse_web_address(self.webhook.get_secret_value()) if self.webhook else None


def _with_port(text: str, port: int) -> str:
    named = re.search(r"^[^:]*:[^:]*$|\]:[^:]*$", text)
    return text if named else f"{text}:{port}"
