"""An MQTT broker, or who may speak on it, that would fill the device's memory or its logs."""

from __future__ import annotations

import resource
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from splitfer.edge_client.choices import Policy
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.mqtt import Mqtt
from splitfer.edge_client.sinks.mqtt_broker import Broker
from splitfer.edge_client.sinks.mqtt_messages import Topics
from splitfer.edge_client.sinks.run_status import RunStatus
from tests.processes import wait_until

TOPICS = Topics("splitfer", "hall")
MIB = 2**20
PUBLISH = 3


def length(size: int) -> bytes:
    """As MQTT writes it."""
    low, rest = size % 128, size // 128
    return bytes([low | 128]) + length(rest) if rest else bytes([low])


def publish(topic: str, payload: bytes, version_5: bool, qos: int = 0, number: int = 1) -> bytes:
    body = struct.pack(">H", len(topic)) + topic.encode()
    body += (struct.pack(">H", number) if qos else b"") + b"\0" * version_5 + payload
    return bytes([PUBLISH << 4 | qos << 1]) + length(len(body)) + body


class HostileBroker:
    """Takes any device, and then does with its connection what ``act`` does. ``closed`` counts the
    connections that the device ended."""

    def __init__(self, act: Callable[[socket.socket, bool], None]) -> None:
        self.closed, self._act = 0, act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _serve(self, device: socket.socket) -> None:
        with device, suppress(OSError):
            hello = device.recv(65536)
            version_5 = hello[hello.index(b"MQTT") + 4] == 5
            device.sendall(b"\x20\3\0\0\0" if version_5 else b"\x20\2\0\0")
            # Whatever the device says is read and passed over, until it hangs up.
            hears = threading.Thread(target=self._hear, args=(device,), daemon=True)
            hears.start()
            self._act(device, version_5)
            hears.join()

    def _hear(self, device: socket.socket) -> None:
        with suppress(OSError):
            while device.recv(65536):
                pass
        self.closed += 1


class Device:
    def __init__(self, port: int, version: str) -> None:
        self.changes: list[str] = []
        self.control = Control(
            Policy.AUTO, list(Policy), lambda _: None, lambda what, _: self.changes.append(what)
        )
        broker = Broker("127.0.0.1", port, version=version)
        self.mqtt = Mqtt(broker, TOPICS, RunStatus(), self.control, "hall", "1")

    def close(self) -> None:
        self.mqtt.close()


def a_huge_message(device: socket.socket, version_5: bool) -> None:
    device.sendall(bytes([PUBLISH << 4]) + b"\xff\xff\xff\x7f")
    for _ in range(255):
        device.sendall(bytes(MIB))


def messages_to_keep(device: socket.socket, version_5: bool) -> None:
    for number in range(1, 5000):
        device.sendall(publish(TOPICS.set("pause"), bytes(60_000), version_5, 2, number))


def most_resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("act", "why"), [(a_huge_message, "more than 64 KiB"), (messages_to_keep, "QoS 2")]
)
def test_a_brokers_messages_take_no_memory(
    act: Callable[[socket.socket, bool], None],
    why: str,
    version: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before_mib = most_resident_mib()
    with (
        closing(HostileBroker(act)) as broker,
        closing(Device(broker.port, version)),
    ):
        wait_until(lambda: broker.closed, "the device to hang up")
        wait_until(lambda: why in caplog.text, "the reason")
    assert most_resident_mib() - before_mib < 50


@pytest.mark.parametrize("words", [(b"ON", b"OFF"), (b"nonsense",)], ids=["both", "nonsense"])
def test_commands_without_end_are_not_lines_without_end(
    words: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    def act(device: socket.socket, version_5: bool) -> None:
        for _ in range(2000):
            for word in words:
                device.sendall(publish(TOPICS.set("pause"), word, version_5))
        device.sendall(publish(TOPICS.set("pause"), b"ON", version_5))
        device.sendall(publish(TOPICS.set("policy"), b"local", version_5))

    with closing(HostileBroker(act)) as broker, closing(Device(broker.port, "5")) as device:
        wait_until(lambda: device.control.policy is Policy.LOCAL, "the last command")
        assert device.control.paused
    assert len(device.changes) + len(caplog.records) < 20
