"""What crossed a link."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LinkCounts:
    """What crossed the link. ``wire_bytes``: messages both ways with gRPC's framing;
    ``streamed_calls``: those of ``calls`` that went on a stream."""

    calls: int = 0
    streamed_calls: int = 0
    failed_calls: int = 0
    late_answers: int = 0
    wire_bytes: int = 0
