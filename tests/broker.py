"""A real MQTT broker, and somebody who listens to it."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest

from tests.processes import free_port, wait_until

# Debian installs it where only the administrator's shell looks.
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")

needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="no broker: apt-get install mosquitto")


class Broker:
    """Mosquitto on a port of loopback, with further lines of ``settings``."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self._folder, self._settings = folder, settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        file = self._folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", *self._settings]
        if not any(line.startswith("allow_anonymous") for line in lines):
            lines.append("allow_anonymous true")
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o644)
        assert MOSQUITTO is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(file)], stdout=log, stderr=log)
        return self

    def stop(self) -> None:
        """As if its machine had lost its power."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


@dataclass(frozen=True)
class Message:
    topic: str
    text: str
    retained: bool

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value


class Listener:
    """Hears everything on the broker, and may speak."""

    def __init__(
        self,
        port: int,
        user: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.heard: list[Message] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._ready = threading.Event()
        if user is not None:
            self._client.username_pw_set(*user)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _, __, message: self.heard.append(
            Message(message.topic, message.payload.decode(), message.retain)
        )
        wait_until(lambda: self._connected(port), "the broker")
        self._client.loop_start()
        assert self._ready.wait(30)

    def _connected(self, port: int) -> bool:
        try:
            self._client.connect("127.0.0.1", port)
        except OSError:
            return False
        return True

    def on(self, topic: str) -> list[Message]:
        return [message for message in list(self.heard) if message.topic == topic]

    def wait_for(self, topic: str, text: str | None = None, after: int = 0) -> Message:
        """The first message on ``topic`` beyond the first ``after``, with ``text`` where given."""

        def found() -> Message | None:
            messages = self.on(topic)[after:]
            return next((one for one in messages if text in (None, one.text)), None)

        message: Message = wait_until(found, f"{text or 'a message'} on {topic}")
        return message

    def say(self, topic: str, text: str, retain: bool = False) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
