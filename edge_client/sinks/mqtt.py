"""The device on an MQTT broker: availability, health, answers, and commands that it obeys.

One thread does everything. Each connection is a new client, so that nothing that an earlier one
still held is sent as if it were new:

    connect -> availability, announcement, controls, an empty state -> states of frames from now on
                                                                   \\-> answers that waited, as late
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.mqtt_broker import CONNECT_S, Broker, Client, new_client
from splitfer.edge_client.sinks.mqtt_commands import COMMANDS, Commands
from splitfer.edge_client.sinks.mqtt_messages import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    Topics,
    discovery_message,
    state_message,
)
from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.outbox_file import Waiting
from splitfer.edge_client.sinks.reader import LATE_S, message_body, waits
from splitfer.edge_client.sinks.run_status import Health, Newest, RunStatus
from splitfer.shared.deadline import Clock
from splitfer.shared.peer_words import peer_words

READER = "mqtt"
"""The outbox's reader."""

STATE_EVERY_S = 1.0
STATE_AT_LEAST_EVERY_S = 30.0
_ANSWERS_IN_FLIGHT = 20
_LOOP_S = 0.1
_TICK_S = 0.02
_BIRTH_JITTER_S = 5.0
_CLOSE_S = 3.0

_log = logging.getLogger(__name__)


class Mqtt:
    """Tells the broker how ``status`` is, and obeys ``control``'s topics, until it is closed.

    ``discovery`` is the prefix of Home Assistant's announcements; None announces nothing. With an
    ``outbox`` the answers that wait in it for ``READER`` are sent too. ``message`` makes the state.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        status: RunStatus,
        control: Control,
        device_name: str,
        version: str,
        discovery: str | None = "homeassistant",
        outbox: Outbox | None = None,
        clock: Clock = time.monotonic,
        jitter: Callable[[], float] = random.random,
        message: Callable[[Newest | None, Health], dict[str, Any]] = state_message,
    ) -> None:
        self._message = message
        self.connected = False
        self.fault: str | None = None
        self._broker, self._topics, self._status, self._control = broker, topics, status, control
        self._discovery, self._outbox = discovery, outbox
        self._announcement = json.dumps(
            discovery_message(
                topics, device_name, version, [policy.value for policy in control.policies]
            )
        )
        self._clock, self._jitter = clock, jitter
        self._newer, self._ever_connected = broker.version != "3.1.1", False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._reset()
        self._thread.start()

    def report(self) -> dict[str, Any]:
        """The state of the connection, for the health report."""
        return {
            "broker": f"{self._broker.host}:{self._broker.port}",
            "connected": self.connected,
            "fault": self.fault,
        }

    def close(self) -> None:
        """Say goodbye. Again does nothing."""
        self._closed.set()
        self._thread.join(_CLOSE_S)

    # -- one connection after another ----------------------------------------------------------

    def _run(self) -> None:
        for _ in waits(self._closed, self._jitter, lambda: self._was_connected):
            self._reset()
            try:
                self._session()
            except (OSError, ValueError) as error:  # ValueError: a name that is none
                self._failed(str(getattr(error, "strerror", None) or error))
            except Exception:  # the thread serves for a year; whatever it meets, it tries again
                _log.exception("MQTT: unexpected")
                self._failed("unexpected, see the log")
            finally:
                if self._client is not None and (left := self._client.socket()) is not None:
                    left.close()
                self._was_connected, self.connected = self.connected, False

    def _reset(self) -> None:
        self._client: Client | None = None
        self._was_connected = False
        self._since_number = 0
        self._since_s = 0.0
        self._sent_state: tuple[Any, ...] | None = None
        self._state_at_s = self._state_tried_s = float("-inf")
        self._tick_at_s = float("-inf")
        self._announce_at_s: float | None = None
        self._commands = Commands(self._topics, self._control)
        self._controls: tuple[Any, ...] | None = None
        self._in_flight: dict[int, Waiting] = {}
        self._acknowledged: set[int] = set()
        self._refusal: str | None = None

    def _session(self) -> None:
        client = self._client = new_client(
            self._broker, self._topics.name, self._newer, self._topics.availability
        )
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.connect_to(self._broker)
        give_up_s = self._clock() + CONNECT_S
        while not self._closed.is_set():
            code = client.loop(_LOOP_S)
            if self._refusal is not None:
                raise OSError(self._refusal)
            if client.fault is not None:
                raise OSError(client.fault)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                if not self._ever_connected and self._broker.version == "auto":
                    self._newer = not self._newer  # a broker that hangs up on what it does not know
                raise OSError(f"the connection broke ({paho.error_string(code)})")
            if self.connected:
                if self._clock() - self._tick_at_s >= _TICK_S:  # a flood of messages costs no more
                    self._tick(client)
            elif self._clock() > give_up_s:
                raise OSError("it does not answer as a broker does")
        if self.connected:
            end_s = self._clock() + _CLOSE_S / 2
            self._deliver(client)
            while self._in_flight and self._clock() < end_s:
                if client.loop(_LOOP_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
                self._deliver(client)
            client.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
            client.disconnect()
            while client.loop(_LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass

    # -- what the broker says ------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, _: Any, __: Any, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = f"it refuses this device: {reason}"
            if str(reason) == "Unsupported protocol version" and self._broker.version == "auto":
                self._newer = not self._newer
            return
        newest = self._status.newest()
        self._since_number = newest.number if newest else 0
        self._since_s = self._clock()
        topics = list(self._commands.topics)
        if self._discovery is not None:
            topics.append(f"{self._discovery}/status")
        client.subscribe([(topic, 1) for topic in topics])
        client.publish(self._topics.availability, ONLINE, qos=1, retain=True)
        self._announce_at_s = self._since_s + self._jitter()
        self.connected = self._ever_connected = True
        if self.fault is not None:
            _log.warning("MQTT: the broker can be used now")
        self.fault = None

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        text = message.payload[:100].decode(errors="replace")
        if self._discovery is not None and message.topic == f"{self._discovery}/status":
            if text == ONLINE and not message.retain and self._announce_at_s is None:
                # Every device of the house hears that; not all answer in one moment.
                self._announce_at_s = self._clock() + self._jitter() * _BIRTH_JITTER_S
            return
        self._commands.take(message)

    def _on_publish(
        self, _: paho.Client, __: Any, number: int, reason: ReasonCode, ___: Properties | None
    ) -> None:
        answer = self._in_flight.get(number)
        if answer is None:
            return
        if reason.is_failure:
            _log.warning("MQTT: an answer is refused: %s", reason)
        self._acknowledged.add(number)

    # -- what the device says ------------------------------------------------------------------

    def _tick(self, client: paho.Client) -> None:
        now_s = self._tick_at_s = self._clock()
        if not self._commands.obey(now_s):
            self._controls = None  # whoever asked sees what it still is
        if self._announce_at_s is not None and now_s >= self._announce_at_s:
            self._announce_at_s = None
            if self._discovery is not None:
                client.publish(
                    f"{self._discovery}/device/{self._topics.name}/config",
                    self._announcement,
                    qos=1,
                    retain=True,
                )
            self._controls = self._sent_state = None
        controls = (self._control.policy.value, ON if self._control.paused else OFF)
        if controls != self._controls:
            self._controls = controls
            for name, value in zip(COMMANDS, controls, strict=True):
                client.publish(self._topics.control(name), value, qos=1, retain=True)
        if now_s - self._state_tried_s >= STATE_EVERY_S:
            self._state_tried_s = now_s
            self._tell_state(client, now_s)
        self._deliver(client)

    def _tell_state(self, client: paho.Client, now_s: float) -> None:
        health = self._status.health()
        message = self._message(self._live(), health)
        state = tuple(
            message[key] for key in ("health", "expression", "uncertain", "faces", "path")
        )
        if state == self._sent_state and now_s - self._state_at_s < STATE_AT_LEAST_EVERY_S:
            return
        self._sent_state, self._state_at_s = state, now_s
        # Not sent again where it is lost: by then there is a newer one.
        client.publish(self._topics.state, json.dumps(message), qos=0, retain=True)

    def _live(self) -> Newest | None:
        """The newest frame, where it came after the connection and pictures still come."""
        newest = self._status.newest()
        if newest is None or newest.number <= self._since_number:
            return None
        return newest if self._status.pictures_come() else None

    def _deliver(self, client: paho.Client) -> None:
        """Answers that wait, in order; each stays until the broker has it."""
        if self._outbox is None:
            return
        for number in list(self._in_flight):
            if number not in self._acknowledged:
                break
            self._acknowledged.discard(number)
            self._outbox.done(READER, self._in_flight.pop(number).seq)
        if self._in_flight:
            return
        for answer in self._outbox.waiting(READER, _ANSWERS_IN_FLIGHT):
            late = self._outbox.age_s(answer) > min(LATE_S, self._clock() - self._since_s)
            body = message_body(answer, late)
            sent = client.publish(self._topics.answer, body, qos=1)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            self._in_flight[sent.mid] = answer

    def _failed(self, words: str) -> None:
        words = peer_words(words, self._broker.password)
        if words != self.fault:
            self.fault = words
            _log.warning(
                "MQTT: the broker %s:%d cannot be used: %s; it is tried again",
                self._broker.host,
                self._broker.port,
                words,
            )
