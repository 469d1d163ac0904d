"""Commands that come over MQTT: another policy, a pause."""

from __future__ import annotations

import logging

from paho.mqtt.client import MQTTMessage

from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.mqtt_messages import OFF, ON, Topics

COMMANDS = ("policy", "pause")
EVERY_S = 1.0
"""Whoever may speak on the broker may speak without end, and each change is a line in logs."""

_log = logging.getLogger(__name__)


class Commands:
    """What ``control`` is asked for on ``topics``. Of several within ``EVERY_S`` the newest of each
    topic is obeyed; none that is retained."""

    def __init__(self, topics: Topics, control: Control) -> None:
        self._control = control
        self._policy, *_ = self.topics = [topics.set(command) for command in COMMANDS]
        self._asked: dict[str, MQTTMessage] = {}
        self._obeyed_at_s = float("-inf")

    def take(self, message: MQTTMessage) -> None:
        """One came; another topic's is passed over."""
        if message.topic in self.topics:
            self._asked[message.topic] = message

    def obey(self, now_s: float) -> bool:
        """Do what is due at the instant ``now_s``; False where something of it cannot be done."""
        if not self._asked or now_s - self._obeyed_at_s < EVERY_S:
            return True
        self._obeyed_at_s = now_s
        asked, self._asked = self._asked, {}
        done = [self._done(message) for message in asked.values()]
        return all(done)

    def _done(self, message: MQTTMessage) -> bool:
        if message.retain:
            _log.warning("MQTT: %s is retained, and not obeyed: clear it", message.topic)
            return True
        text = message.payload[:100].decode(errors="replace")
        try:
            if message.topic == self._policy:
                self._control.choose(text, "MQTT")
            elif text not in (ON, OFF):
                raise ValueError(f"{text[:20]!r} is neither {ON} nor {OFF}")
            else:
                self._control.pause(text == ON, "MQTT")
        except ValueError as error:
            _log.warning("MQTT: %s: %s", message.topic, error)
            return False
        return True
