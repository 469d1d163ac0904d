"""Costs and settings that tests of the policy share."""

from __future__ import annotations

from dataclasses import replace

from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.policy.estimates import Cost, Costs
from splitfer.edge_client.policy.link_fit import LinkFit
from splitfer.edge_client.policy.policy import Memory, PolicySettings, decide
from splitfer.edge_client.policy.prediction import FrameFacts, Route
from splitfer.shared.contracts import AnswerPath

LOCAL = Route(AnswerPath.LOCAL, 0.68)
HIGH = Route(AnswerPath.CLOUD, 0.71, "high")
LOW = Route(AnswerPath.CLOUD, 0.69, "low")
IMAGE = Route(AnswerPath.IMAGE, 0.70)
SETTINGS = PolicySettings((LOCAL, HIGH, LOW), deadline_ms=150)
FRAME = FrameFacts(elapsed_ms=10, faces=1, pixels=640 * 480)


def cost(ms: float) -> Cost:
    return Cost(ms, 1.1 * ms)


def costs(tail_ms: float = 10, link: LinkFit | None = None, missed: float = 0.0) -> Costs:
    """A device and a link of 20 ms and 100 KB/s: `high` takes 46 ms up, `low` 27 ms."""
    return Costs(
        cost(6),
        cost(3),
        cost(tail_ms),
        cost(4),
        {"high": cost(1), "low": cost(1)},
        {"high": 2600, "low": 700},
        link=link or LinkFit(20, 0.01, deviation_ms=1, mean_bytes=1000, missed=missed),
        server={AnswerPath.CLOUD: cost(4), AnswerPath.IMAGE: cost(12)},
    )


def settings(objective: Objective, **changes: object) -> PolicySettings:
    return replace(SETTINGS, objective=objective, **changes)  # type: ignore[arg-type]


def settled(
    now: Costs, by: PolicySettings, frame: FrameFacts = FRAME, memory: Memory | None = None
) -> Decision:
    """The decision once it had the time to change its mind and nothing is tried."""
    memory = memory or Memory()
    for n in range(10):
        memory = memory._replace(frames_since_trial=0, trial_at_s=n / 15)
        decision, memory = decide(now, frame, by, memory, n / 15)
    return decision
