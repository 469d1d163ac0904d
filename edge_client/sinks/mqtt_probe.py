"""Whether a broker takes this device."""

from __future__ import annotations

import ssl
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from splitfer.edge_client.sinks.mqtt_broker import Client
from splitfer.shared.peer_words import peer_words

_LOOP_S = 0.05


def probe(
    host: str,
    port: int,
    user: str | None,
    password: str | None,
    tls: ssl.SSLContext | None,
    timeout_s: float,
) -> str | None:
    """What is wrong, in words; None where it takes the device. Publishes nothing."""
    said: list[str | None] = []
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.connect_timeout = timeout_s
    client.on_connect = lambda _, __, ___, reason, ____: said.append(
        f"it refuses this device: {reason}" if reason.is_failure else None
    )
    if user is not None:
        client.username_pw_set(user, password)
    if tls is not None:
        client.tls_set_context(tls)
    try:
        client.connect(host, port)
        end_s = time.monotonic() + timeout_s
        while not said and time.monotonic() < end_s:
            code = client.loop(_LOOP_S)
            if not said and code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return client.fault or f"the connection broke ({paho.error_string(code)})"
    except (OSError, ValueError) as error:
        return peer_words(str(getattr(error, "strerror", None) or error), password)
    finally:
        client.disconnect()
        if (left := client.socket()) is not None:
            left.close()
    return said[0] if said else "it does not answer as a broker does"
