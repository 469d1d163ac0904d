"""What the live page shows: the newest frame, and the state of the run."""

from __future__ import annotations

from typing import Any

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks.run_status import RunStatus
from splitfer.edge_client.view.live_view import LiveView


class LivePage:
    """``frames`` is the sink that it shows."""

    def __init__(
        self,
        config: EdgeConfig,
        name: str,
        source: str,
        recognizer: Recognizer,
        control: Control,
        status: RunStatus,
        purpose: str | None,
    ) -> None:
        self.frames = LiveView(lambda: recognizer.decision)
        self._head = {
            "name": f"{name} · {config.source_name}" if config.source_name else name,
            "source": source,
            "deadline_ms": config.deadline_ms,
            "purpose": purpose,
        }
        self._recognizer, self._control, self._status = recognizer, control, status

    def report(self, after: int, seconds: float) -> dict[str, Any]:
        """Once there is a frame after number ``after``, or ``seconds`` are over."""
        self.frames.wait_for(after, seconds)
        health = self._status.health()
        facts = self._status.facts
        return {
            **self._head,
            "health": health.value,
            "works": health.works,
            "failing": self._status.failing(),
            "policy": self._control.policy.value,
            "policies": [policy.value for policy in self._control.policies],
            "link": self._recognizer.link_report(),
            "wire_bytes": self._recognizer.link_counts.wire_bytes,
            "outbox": facts["outbox"]() if "outbox" in facts else None,
            "mqtt": facts["mqtt"]() if "mqtt" in facts else None,
            **self.frames.report(self._status.pictures_come()),
        }
