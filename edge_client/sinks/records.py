"""The JSON lines of one face, of one decision, and of the time in which there is no face."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import FaceEvent
from splitfer.shared.contracts import RECORD_VERSION, FaceAnswer, SmoothedAnswer


@dataclass(frozen=True)
class Origin:
    """Which device a record is of, and what its owner calls the source; None where unset."""

    device_id: str | None = None
    source_name: str | None = None


UNNAMED = Origin()


def face_record(
    frame: Frame, face_index: int, face: FaceAnswer, origin: Origin = UNNAMED
) -> dict[str, Any]:
    """The record as it is written: see docs/device/records.md.

    Changes come with the schema version.
    """
    return {
        **_head("face", frame.source, origin, frame.wall_s),
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "face": face_index,
        "box": face.box.scaled(frame.reduced_by).as_list(),
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
        "track": face.track,
        "smoothed": face.smoothed and _smoothed(face.smoothed),
        "quality": None if face.quality is None else round(face.quality, 3),
        "uncertain": face.uncertain,
    }


def event_record(frame: Frame, event: FaceEvent, origin: Origin = UNNAMED) -> dict[str, Any]:
    """That a face appeared, left, or shows something else: see docs/device/records.md."""
    return {
        **_head("event", frame.source, origin, frame.wall_s),
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "event": event.happening.value,
        "track": event.track,
        "label": event.label,
        "uncertain": event.uncertain,
    }


def _smoothed(lately: SmoothedAnswer) -> dict[str, Any]:
    return {
        "label": lately.label,
        "confidence": round(lately.confidence, 4),
        "probabilities": lately.by_label(),
        "uncertain": lately.uncertain,
    }


def decision_record(frame: Frame, decision: Decision, origin: Origin = UNNAMED) -> dict[str, Any]:
    """What ``--explain`` writes: see docs/device/policy.md."""
    return {
        **_head("decision", frame.source, origin, frame.wall_s),
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        **decision.record(),
    }


def heartbeat_record(
    source: str, origin: Origin, wall_s: float, frames: int, last: Frame | None
) -> dict[str, Any]:
    """That the device lives: ``frames`` were looked at since the last record, the newest ever was
    ``last``, and nobody was in them."""
    return {
        **_head("heartbeat", source, origin, wall_s),
        "state": "no_face" if frames else "no_picture",
        "frames": frames,
        "frame": last.index if last else None,
        "time_s": round(last.time_s, 4) if last else None,
        "last_picture": rfc3339(last.wall_s) if last else None,
    }


def aggregate_record(
    source: str, origin: Origin, wall_s: float, seconds: float, counts: Mapping[str, Any]
) -> dict[str, Any]:
    """``counts`` over the ``seconds`` before ``wall_s``."""
    return {**_head("aggregate", source, origin, wall_s), "seconds": seconds, **counts}


def rfc3339(wall_s: float) -> str:
    """Seconds since 1970 -> ``2026-01-31T12:00:00.123Z``."""
    text = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _head(record: str, source: str, origin: Origin, wall_s: float) -> dict[str, Any]:
    """What every record begins with."""
    return {
        "source": source,
        "source_name": origin.source_name,
        "device_id": origin.device_id,
        "schema_version": RECORD_VERSION,
        "record": record,
        "time": rfc3339(wall_s),
    }
