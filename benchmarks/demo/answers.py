"""What the edge of the demo has answered so far."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Answers:
    """The edge's answers as they are written, and the clip's time that they tell."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_s: float | None = None

    def read(self) -> list[dict[str, Any]]:
        """Every whole line of a face so far."""
        if not self._path.exists():
            return []
        whole = self._path.read_text().rpartition("\n")[0]
        records = [json.loads(line) for line in whole.splitlines()]
        return [one for one in records if one["record"] == "face"]

    def clip_time_s(self) -> float:
        """Where the clip is now; 0 until its first face was answered."""
        if self._start_s is None:
            first = next(iter(self.read()), None)
            if first is None:
                return 0.0
            late_s = (first["latency_ms"]["total"] or 0.0) / 1000
            self._start_s = time.monotonic() - late_s - first["time_s"]
        return time.monotonic() - self._start_s
