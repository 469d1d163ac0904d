"""A real broker (mosquitto), and somebody who hears every answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.net.forwarder import Forwarder

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
_PATIENCE_S = 60.0
_NOWHERE = ("127.0.0.1", 9)


def wait_until(condition: Callable[[], bool], patience_s: float = _PATIENCE_S) -> bool:
    """Whether it comes to be within ``patience_s`` of real time."""
    end_s, tick = time.monotonic() + patience_s, threading.Event()
    while not condition():
        if time.monotonic() > end_s:
            return False
        tick.wait(0.02)
    return True


class Broker:
    """On loopback, behind a port that leads to it only while somebody hears its answers. ``heard``
    are their ids, in the order in which they came; ``late`` counts those that were marked so."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._own_port: int = probe.getsockname()[1]
        self._door = Forwarder(_NOWHERE)
        self.port = self._door.port
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self._own_port} 127.0.0.1\nallow_anonymous true\n")
        self._config.chmod(0o644)
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: paho.Client | None = None
        self.heard: list[str] = []
        self.late = 0

    def start(self) -> None:
        """Listen, and hear."""
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ready = threading.Event()
        listener = self._listener = paho.Client(CallbackAPIVersion.VERSION2)
        listener.on_connect = lambda client, *_: client.subscribe("splitfer/#", 1)
        listener.on_subscribe = lambda *_: ready.set()
        listener.on_message = lambda _, __, message: self._hear(message)
        wait_until(lambda: self._connected(listener))
        listener.loop_start()
        ready.wait(_PATIENCE_S)
        self._door.target = ("127.0.0.1", self._own_port)

    def stop(self) -> None:
        """As if its machine had lost its power."""
        self._door.target = _NOWHERE
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._listener is not None:
            self._listener.loop_stop()
            self._listener = None

    def __enter__(self) -> Self:
        self._door.__enter__()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._door.__exit__()

    def _connected(self, listener: paho.Client) -> bool:
        try:
            listener.connect("127.0.0.1", self._own_port)
        except OSError:
            return False
        return True

    def _hear(self, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/answer"):
            answer = json.loads(message.payload)
            self.heard.append(answer["id"])
            self.late += bool(answer["late"])
