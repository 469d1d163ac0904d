"""The JSON lines of one face and of one decision."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge_client.policy.decision import Decision
from edge_client.sources.frame import Frame
from shared.contracts import FaceAnswer


def face_record(frame: Frame, face_index: int, face: FaceAnswer) -> dict[str, Any]:
    """The record as it is written: see docs/records.md. Changes come with the schema version."""
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "face": face_index,
        "box": face.box.as_list(),
        "label": face.label,
        "confidence": round(face.confidence, 4),
        "probabilities": face.answer.by_label(),
        "path": face.path.value,
        "reason": face.reason.value if face.reason else None,
        "latency_ms": {
            name: None if ms is None else round(ms, 3)
            for name, ms in dataclasses.asdict(face.latency_ms).items()
        },
        "sent_bytes": face.sent_bytes,
        "rate": face.rate,
        "model": face.answer.model,
        "labels": face.answer.labels.value,
        "prior": face.answer.prior.value,
        "quality": None if face.quality is None else round(face.quality, 3),
        "uncertain": face.uncertain,
    }


def decision_record(frame: Frame, decision: Decision) -> dict[str, Any]:
    """What ``--explain`` writes: see docs/policy.md."""
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        **decision.record(),
    }
