"""What is said over MQTT: topics, the state, and the announcement to Home Assistant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitfer.edge_client.sinks.records import rfc3339
from splitfer.edge_client.sinks.run_status import Health, Newest
from splitfer.edge_client.source_name import slug
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LABELS

ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
NO_FACE = "no_face"
"""The expression where nobody is seen."""

_SILENT_S = 120
"""After so long without a state Home Assistant holds the device for hung."""


@dataclass(frozen=True)
class Topics:
    """The topics of one device, or of one camera of it."""

    prefix: str
    device: str
    camera: str | None = None

    @property
    def root(self) -> str:
        """The topic that all others begin with."""
        parts = [self.prefix, slug(self.device)]
        return "/".join(parts + ([slug(self.camera)] if self.camera else []))

    @property
    def name(self) -> str:
        """The unique name of the device or camera."""
        return "splitfer_" + "_".join(slug(part) for part in (self.device, self.camera) if part)

    @property
    def availability(self) -> str:
        """``online`` or ``offline``, retained; the last will."""
        return f"{self.root}/availability"

    @property
    def state(self) -> str:
        """The topic of the newest state, retained."""
        return f"{self.root}/state"

    @property
    def answer(self) -> str:
        """The topic of single answers, not retained."""
        return f"{self.root}/answer"

    def control(self, what: str) -> str:
        """The topic of what ``policy`` or ``pause`` is now, retained."""
        return f"{self.root}/{what}"

    def set(self, what: str) -> str:
        """The topic of commands that change ``policy`` or ``pause``."""
        return f"{self.root}/{what}/set"


def state_message(newest: Newest | None, health: Health) -> dict[str, Any]:
    """The state; without ``newest`` nothing is known but the health."""
    if newest is None:
        return {
            "health": health.value, "expression": None, "confidence": None, "uncertain": None,
            "faces": None, "expressions": None, "path": None, "reason": None, "latency_ms": None,
            "time": None,
        }  # fmt: skip
    faces = newest.faces
    weights: Counter[str] = Counter()
    for face in faces:
        weights[face.shown.label] += face.shown.confidence  # type: ignore[assignment]  # of shares
    expression = max(weights, key=lambda label: weights[label]) if weights else NO_FACE
    # Of several that show it, the one that is surest says how sure it is.
    surest = max(
        (face.shown for face in faces if face.shown.label == expression),
        key=lambda shown: shown.confidence,
        default=None,
    )
    first = faces[0] if faces else None
    total_ms = first.latency_ms.total if first else None
    return {
        "health": health.value,
        "expression": expression,
        "confidence": round(surest.confidence, 3) if surest else None,
        "uncertain": surest.uncertain if surest else None,
        "faces": len(faces),
        "expressions": dict(Counter(face.shown.label for face in faces)),
        "path": first.path.value if first else None,
        "reason": first.reason.value if first and first.reason else None,
        "latency_ms": None if total_ms is None else round(total_ms, 1),
        "time": rfc3339(newest.frame.wall_s),
    }  # fmt: skip


def discovery_message(
    topics: Topics, device_name: str, version: str, policies: Sequence[str]
) -> dict[str, Any]:
    """The announcement of all entities at once, as Home Assistant reads it under
    ``homeassistant/device/<id>/config``."""

    def entity(key: str, platform: str, name: str, **more: Any) -> dict[str, Any]:
        return {
            "platform": platform,
            "name": name,
            "unique_id": f"{topics.name}_{key}",
            "default_entity_id": f"{platform}.{topics.name}_{key}",
            **more,
        }

    def sensor(key: str, name: str, **more: Any) -> dict[str, Any]:
        return entity(
            key,
            "sensor",
            name,
            value_template=f"{{{{ value_json.{key} }}}}",
            expire_after=_SILENT_S,
            **more,
        )

    return {
        "device": {
            "identifiers": [topics.name], "name": device_name, "manufacturer": "SplitFER",
            "model": "edge-client", "sw_version": version,
        },
        "origin": {"name": "SplitFER", "sw_version": version},
        "components": {
            "expression": sensor(
                "expression", "Expression", device_class="enum", options=[*LABELS, NO_FACE],
                icon="mdi:emoticon-outline", json_attributes_topic=topics.state,
            ),
            "uncertain": entity(
                "uncertain", "binary_sensor", "Uncertain",
                value_template="{{ {true: 'ON', false: 'OFF'}.get(value_json.uncertain) }}",
                expire_after=_SILENT_S, icon="mdi:help-circle-outline",
            ),
            "faces": sensor(
                "faces", "Faces", state_class="measurement", icon="mdi:account-multiple",
            ),
            "path": sensor(
                "path", "Path", device_class="enum", options=[path.value for path in AnswerPath],
                icon="mdi:transit-connection-variant", entity_category="diagnostic",
            ),
            "latency_ms": sensor(
                "latency_ms", "Latency", device_class="duration", unit_of_measurement="ms",
                state_class="measurement", suggested_display_precision=0,
                entity_category="diagnostic",
            ),
            "health": sensor(
                "health", "Health", device_class="enum", options=[one.value for one in Health],
                icon="mdi:heart-pulse", entity_category="diagnostic",
            ),
            "policy": entity(
                "policy", "select", "Policy", state_topic=topics.control("policy"),
                command_topic=topics.set("policy"), options=list(policies),
                icon="mdi:routes", entity_category="config",
            ),
            "pause": entity(
                "pause", "switch", "Pause", state_topic=topics.control("pause"),
                command_topic=topics.set("pause"), icon="mdi:pause", entity_category="config",
            ),
        },
        "state_topic": topics.state,
        "availability_topic": topics.availability,
        "qos": 1,
    }  # fmt: skip
