"""The newest frame as a page shows it, and a short history."""

from __future__ import annotations

import base64
import io
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.sinks.records import rfc3339
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer

HISTORY = 120
"""Frames of which latency and bytes are kept."""

LONGEST_PX = 960
"""A larger picture is shrunk before it is encoded."""

_DECISIONS = 12
_QUALITY = 70
_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)


class LiveView:
    """A sink that keeps the newest frame, until a page asks for it. Safe to use from several
    threads. Nothing is encoded while nobody looks.

    ``decision`` gives the last frame's. With ``pictures`` False none is kept.
    """

    def __init__(self, decision: Callable[[], Decision | None], pictures: bool = True) -> None:
        self._decision, self._pictures = decision, pictures
        self._came = threading.Condition()
        self._number = 0
        self._newest: tuple[Frame, tuple[FaceAnswer, ...]] | None = None
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._decisions: deque[dict[str, Any]] = deque(maxlen=_DECISIONS)
        self._closed = False
        self._encoding = threading.Lock()
        self._encoded: tuple[int, str | None] = (0, None)

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """One frame was answered."""
        first = faces[0] if faces else None
        decision = self._decision()
        with self._came:
            self._number += 1
            kept = frame if self._pictures else replace(frame, rgb=_NO_PIXELS)
            self._newest = kept, tuple(faces)
            self._history.append(
                {
                    "latency_ms": first.latency_ms.total if first else None,
                    "sent_bytes": sum(face.sent_bytes for face in faces),
                    "path": first.path.value if first else None,
                }
            )
            if decision is not None:
                self._add(_brief(decision))
            self._came.notify_all()

    def close(self) -> None:
        """Nobody waits for another frame; the last picture goes."""
        with self._came:
            self._closed = True
            self._newest = None
            self._came.notify_all()

    def wait_for(self, after: int, seconds: float) -> None:
        """Return once there is a frame later than number ``after``, or ``seconds`` are over."""
        with self._came:
            self._came.wait_for(lambda: self._closed or self._number > after, seconds)

    def report(self, current: bool) -> dict[str, Any]:
        """What the page shows of the newest frame: see ``page/page.js``. Boxes are shares of the
        picture's sides. Where it is no longer ``current``, its picture and faces go for good."""
        with self._came:
            if not current:
                self._newest = None
            number, newest = self._number, self._newest
            history, decisions = list(self._history), list(self._decisions)
        frame, faces = newest or (None, ())
        return {
            "number": number,
            "frame": frame.index if frame else None,
            "time": rfc3339(frame.wall_s) if frame else None,
            "picture": self._picture(number, frame),
            "faces": [_face(face, frame.rgb.shape) for face in faces] if frame else [],
            "history": history,
            "decisions": decisions,
        }

    def _add(self, decision: dict[str, Any]) -> None:
        last = self._decisions[-1] if self._decisions else None
        if last is not None and all(last[key] == decision[key] for key in _SAME):
            decision["times"] += last["times"]
            self._decisions.pop()
        self._decisions.append(decision)

    def _picture(self, number: int, frame: Frame | None) -> str | None:
        if frame is None or not frame.rgb.size:
            return None
        with self._encoding:  # one for all who look
            if self._encoded[0] != number:
                self._encoded = number, _data_address(frame.rgb)
            return self._encoded[1]


_SAME = ("chosen", "why", "refusal")


def _brief(decision: Decision) -> dict[str, Any]:
    chosen = next((p for p in decision.predictions if p.candidate == decision.chosen), None)
    return {
        "chosen": decision.chosen.name,
        "why": decision.why.value,
        "refusal": decision.refusal.value if decision.refusal else None,
        "predicted_ms": round(chosen.typical_ms) if chosen else None,
        "times": 1,
    }


def _face(face: FaceAnswer, shape: tuple[int, ...]) -> dict[str, Any]:
    height, width = max(1, shape[0]), max(1, shape[1])
    box, shown = face.box, face.shown
    return {
        "track": face.track,
        "box": [box.x / width, box.y / height, box.w / width, box.h / height],
        "label": shown.label,
        "confidence": round(shown.confidence, 4),
        "uncertain": shown.uncertain,
        "probabilities": (face.smoothed or face.answer).by_label(),
        "path": face.path.value,
        "reason": face.reason.value if face.reason else None,
    }


def _data_address(rgb: NDArray[np.uint8]) -> str:
    image = Image.fromarray(rgb)
    image.thumbnail((LONGEST_PX, LONGEST_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
