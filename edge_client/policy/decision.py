"""What the policy decided for one frame, and the grounds for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.prediction import FrameFacts, Prediction, Route
from splitfer.shared.cause import Cause
from splitfer.shared.contracts import AnswerPath, Reason


class Why(StrEnum):
    """Why a decision fell as it did."""

    MOST_ACCURATE = "most_accurate"
    FASTEST = "fastest"
    FEWEST_BYTES = "fewest_bytes"
    NONE_IN_TIME = "none_in_time"  # so the fastest
    HELD = "held"  # another is better, but not for long enough
    SWITCH_LIMIT = "switch_limit"  # another is better, but there were too many changes
    CAPPED = "capped"  # the path in use would exceed max_bytes_per_s
    REFUSED = "refused"  # the link refuses, see `refusal`
    TRIAL = "trial"  # this frame tries a path that is not in use
    CONFIGURED = "configured"  # the policy names one path


@dataclass(frozen=True)
class Decision:
    """One frame's path and the grounds for it.

    ``shadow``: the device answers too, for comparison. ``probe``: what is tried with this frame.
    On `local` it is sent beside, and nobody waits for it; else it is the path itself. ``cause``:
    what the link's ``refusal`` comes from.
    """

    chosen: Route
    why: Why
    held: str
    objective: Objective
    frame: FrameFacts
    predictions: tuple[Prediction, ...] = field(repr=False)
    probe: Route | None = None
    shadow: bool = False
    refusal: Reason | None = None
    cause: Cause | None = None

    @property
    def path(self) -> AnswerPath:
        """Where the answer is looked for."""
        return self.chosen.path

    def record(self) -> dict[str, Any]:
        """As ``--explain`` prints it: see docs/device/policy.md."""
        return {
            "chosen": self.chosen.name,
            "why": self.why.value,
            "held": self.held,
            "objective": self.objective.value,
            "probe": self.probe.name if self.probe else None,
            "shadow": self.shadow,
            "refusal": self.refusal.value if self.refusal else None,
            "cause": self.cause.value if self.cause else None,
            "elapsed_ms": round(self.frame.elapsed_ms, 1),
            "faces": self.frame.faces,
            "predictions": {one.candidate.name: _record(one) for one in self.predictions},
        }


def _record(one: Prediction) -> dict[str, Any]:
    return {
        "typical_ms": round(one.typical_ms, 1),
        "p95_ms": round(one.p95_ms, 1),
        "limit_ms": round(one.limit_ms, 1),
        "expected_ms": round(one.expected_ms, 1),
        "sent_bytes": one.sent_bytes,
        "missed": round(one.missed, 3),
        "in_time": one.in_time(),
        "accuracy": round(one.candidate.accuracy, 4),
        "log_loss": one.candidate.log_loss,
        "barred": one.barred,
    }
