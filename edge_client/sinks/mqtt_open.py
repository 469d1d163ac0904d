"""Opens the connection to the MQTT broker that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.mqtt import Mqtt
from splitfer.edge_client.sinks.mqtt_broker import Broker
from splitfer.edge_client.sinks.mqtt_messages import Topics
from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.run_status import Health, Newest, RunStatus
from splitfer.shared.certificates import read_certificates
from splitfer.shared.loopback import is_this_machine

_log = logging.getLogger(__name__)


def opened_mqtt(
    config: EdgeConfig,
    name: str,
    version: str,
    status: RunStatus,
    control: Control,
    outbox: Outbox | None,
    message: Callable[[Newest | None, Health], dict[str, Any]],
) -> Mqtt:
    """The device ``name`` on the broker that ``config`` names.

    Raises:
        ConfigError: a certificate is not as it must be.
    """
    assert config.broker is not None
    host, port = config.broker
    names = ("mqtt_ca", "mqtt_cert", "mqtt_key")
    pems = read_certificates(config.mqtt_ca, config.mqtt_cert, config.mqtt_key, names)
    password = config.mqtt_password.get_secret_value() if config.mqtt_password else None
    if password is not None and not config.broker_tls and not is_this_machine(host):
        _log.warning(
            "MQTT: the password goes to %s without TLS, and whoever is on the way can read it: "
            "set mqtt_tls or mqtt_ca where the broker offers it",
            host,
        )
    tls = pems.context() if config.broker_tls else None
    return Mqtt(
        Broker(host, port, config.mqtt_user, password, tls, config.mqtt_version),
        Topics(config.mqtt_prefix, name, config.source_name),
        status,
        control,
        " ".join(part for part in (name, config.source_name) if part),
        version,
        config.mqtt_discovery,
        outbox if config.mqtt_answers else None,
        message=message,
    )
