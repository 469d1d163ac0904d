"""An MQTT broker, and a client that can connect to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from splitfer.edge_client.sinks.mqtt_messages import OFFLINE

CONNECT_S = 5.0


@dataclass(frozen=True)
class Broker:
    """Where the broker is and who the device is to it. ``version``: ``auto``, ``5``, ``3.1.1``."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    version: str = "auto"


def new_client(broker: Broker, client_id: str, version_5: bool, availability: str) -> paho.Client:
    """A client of ``broker`` that is not connected yet. Where its connection breaks, the broker
    publishes that it is offline on the topic ``availability``."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version_5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_S
    if broker.tls is not None:
        client.tls_set_context(broker.tls)
    if broker.user is not None:
        client.username_pw_set(broker.user, broker.password)
    client.will_set(availability, OFFLINE, qos=1, retain=True)
    return client
