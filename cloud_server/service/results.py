"""What the service answers with, free of any protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from splitfer.shared.contracts import Answer, Box, LatencyMs, Limits, Trust
from splitfer.shared.errors import SplitFerError
from splitfer.shared.labels import LabelSet

FaceResult: TypeAlias = Answer | SplitFerError


@dataclass(frozen=True)
class ServedModel:
    """What answers here, and its limits: the handshake. ``served`` are all fingerprints,
    ``label_sets`` what the default tail answers, the default first."""

    schema_version: int
    server_version: str
    fingerprint: str
    labels: tuple[str, ...]
    tails: tuple[str, ...]
    codecs: tuple[str, ...]
    limits: Limits
    served: tuple[str, ...]
    label_sets: tuple[LabelSet, ...]


@dataclass(frozen=True)
class Inferred:
    """One result per payload, in order."""

    results: list[FaceResult]
    latency_ms: LatencyMs


@dataclass(frozen=True)
class Classified:
    """A picture's size after its EXIF rotation, and per face a box, a result, the score of its
    picture (0 to 1), and how far to go by the answer where there is one."""

    width: int
    height: int
    faces: list[tuple[Box, FaceResult]]
    latency_ms: LatencyMs
    qualities: tuple[float, ...]
    trust: tuple[Trust | None, ...]
