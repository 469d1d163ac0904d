"""The books of one run: every frame and every face ends in exactly one state."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from splitfer.shared.contracts import RECORD_VERSION, AnswerPath, FaceAnswer, Reason

_STEP = math.log(1.01)


class Percentiles:
    """Percentiles of positive numbers, to 1 %, in bounded memory however long the run."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Add a number."""
        self._counts[round(math.log(max(value, 1e-3)) / _STEP)] += 1

    def at(self, share: float) -> float | None:
        """The number that ``share`` of all are not above; None where there are none."""
        rank = math.ceil(share * self._counts.total())
        for step in sorted(self._counts):
            rank -= self._counts[step]
            if rank <= 0:
                return round(math.exp(step * _STEP), 2)
        return None


class Ledger:
    """Counts frames, faces and answers, and gives the summary.

    captured frames = processed + dropped         faces found = answered + failed
    """

    def __init__(self) -> None:
        self.frames = self.frames_without_face = self.faces = self.answered = self.failed = 0
        self.lost_frames = self.uncertain = 0
        self._by_path: Counter[AnswerPath] = Counter()
        self._by_reason: Counter[Reason] = Counter()
        self._by_rate: Counter[str] = Counter()
        self._latency_ms = Percentiles()
        self._sent_total, self._sent_faces, self._sent_max = 0, 0, 0
        self._started_s = time.monotonic()

    def frame_answered(self, answers: Sequence[FaceAnswer]) -> None:
        """Count a frame each of whose faces has its answer."""
        self.frames += 1
        self.frames_without_face += not answers
        self.faces += len(answers)
        self.answered += len(answers)
        for face in answers:
            self._by_path[face.path] += 1
            self.uncertain += face.uncertain
            if face.reason is not None:
                self._by_reason[face.reason] += 1
            if face.rate is not None:
                self._by_rate[face.rate] += 1
            if face.latency_ms.total is not None:
                self._latency_ms.add(face.latency_ms.total)
            if face.sent_bytes:
                self._sent_faces += 1
                self._sent_total += face.sent_bytes
                self._sent_max = max(self._sent_max, face.sent_bytes)

    def frame_failed(self, faces: int) -> None:
        """Count a frame that could not be answered; ``faces`` of it are lost."""
        self.frames += 1
        self.lost_frames += 1
        self.faces += faces
        self.failed += faces

    def answers_by_path(self) -> dict[str, int]:
        """Answers so far, of the paths that occurred."""
        return {path.value: n for path, n in self._by_path.items()}

    def balanced(self, captured: int, dropped: int) -> bool:
        """Whether every captured frame and every face found is accounted for."""
        return captured == self.frames + dropped and self.faces == self.answered + self.failed

    def summary(self, dropped: int, wire_bytes: int) -> dict[str, Any]:
        """The summary as it is written: see docs/device/records.md."""
        sent_mean = round(self._sent_total / self._sent_faces, 1) if self._sent_faces else 0
        quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {
            "schema_version": RECORD_VERSION,
            "frames": self.frames + dropped,
            "frames_without_face": self.frames_without_face,
            "dropped_frames": dropped,
            "faces": self.faces,
            "answered": self.answered,
            "failed": self.failed,
            "uncertain": self.uncertain,
            "by_path": {path.value: self._by_path[path] for path in AnswerPath},
            "by_reason": {r.value: n for r, n in sorted(self._by_reason.items())},
            "by_rate": dict(sorted(self._by_rate.items())),
            "latency_ms": {name: self._latency_ms.at(q) for name, q in quantiles.items()},
            "sent_bytes": {"mean": sent_mean, "max": self._sent_max},
            "wire_bytes": wire_bytes,
            "seconds": round(time.monotonic() - self._started_s, 3),
        }
