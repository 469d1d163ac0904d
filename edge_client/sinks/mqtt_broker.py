"""An MQTT broker, and a client that can connect to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from splitfer.edge_client.sinks.mqtt_messages import OFFLINE

CONNECT_S = 5.0
_KEEP_ALIVE_S = 30
# Of what a broker says: commands of some ten bytes, and its properties.
_LONGEST_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Broker:
    """Where the broker is and who the device is to it. ``version``: ``auto``, ``5``, ``3.1.1``."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    version: str = "auto"


class Client(paho.Client):
    """A client that holds little of what a broker sends: nothing of a message of more than 64 KiB,
    nor of one that it would have to keep (QoS 2), which nobody asked for. Either ends the
    connection, and is its ``fault``."""

    fault: str | None = None

    def connect_to(self, broker: Broker) -> None:
        """Begin to connect.

        Raises:
            OSError: nobody is there.
        """
        if self.protocol is not MQTTProtocolVersion.MQTTv5:
            self.connect(broker.host, broker.port, _KEEP_ALIVE_S)
            return
        bounds = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        bounds.MaximumPacketSize = _LONGEST_BYTES
        self.connect(broker.host, broker.port, _KEEP_ALIVE_S, clean_start=True, properties=bounds)

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho asks for all that is missing of a message.
        if bufsize > _LONGEST_BYTES:
            self.fault = f"it sends a message of more than {_LONGEST_BYTES // 2**10} KiB"
            raise ConnectionError(self.fault)
        return super()._sock_recv(bufsize)

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:
        self.fault = "it sends with QoS 2, which nobody asked for"
        return MQTTErrorCode.MQTT_ERR_PROTOCOL


def new_client(broker: Broker, client_id: str, version_5: bool, availability: str) -> Client:
    """A client of ``broker`` that is not connected yet. Where its connection breaks, the broker
    publishes that it is offline on the topic ``availability``."""
    client = Client(
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
