"""The browser's breaker has the transitions of the Python edge's: one table of cases for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from splitfer.edge_client.link import breaker as states
from splitfer.edge_client.link.breaker import Breaker
from splitfer.shared.contracts import Reason
from tests.browser.node import needs_node, run_module

CASES = json.loads((Path(__file__).parent / "breaker_cases.json").read_text())


def played(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The Python breaker after each event."""
    breaker, found = Breaker(), []
    for event in events:
        now_s, jitter = event["now_s"], event.get("jitter", 0.0)
        cause = Reason(event.get("cause", "link_down"))
        match event["event"]:
            case "probe_started":
                breaker = states.probe_started(breaker)
            case "handshake_succeeded":
                breaker = states.handshake_succeeded(breaker)
            case "handshake_failed":
                breaker = states.handshake_failed(breaker, cause, now_s, jitter)
            case "call_succeeded":
                breaker = states.call_succeeded(breaker)
            case "call_failed":
                breaker = states.call_failed(breaker, cause, now_s, jitter)
        refusal = breaker.refusal
        found.append(
            {
                "state": breaker.state.value,
                "failures": breaker.failures,
                "probes": breaker.probes,
                "probe_at_s": breaker.probe_at_s,
                "cause": breaker.cause.value,
                "refusal": refusal.value if refusal else None,
                "probe_due": breaker.probe_due(now_s),
            }
        )
    return found


def test_the_python_breaker_does_what_the_cases_say() -> None:
    for case in CASES:
        after = [event.pop("after") for event in json.loads(json.dumps(case["events"]))]
        for found, expected in zip(played(case["events"]), after, strict=True):
            assert found.items() >= expected.items(), case["name"]


@needs_node
def test_the_browsers_does_too(tmp_path: Path) -> None:
    for case, found in zip(CASES, run_module("breaker", {"cases": CASES}, tmp_path), strict=True):
        for event, one in zip(case["events"], found, strict=True):
            assert one.items() >= event["after"].items(), case["name"]


@needs_node
def test_both_do_the_same_whatever_happens(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    names = (
        "probe_started", "handshake_succeeded", "handshake_failed", "call_succeeded", "call_failed",
        "call_failed", "call_failed", "time",
    )  # fmt: skip
    causes = [reason.value for reason in Reason]
    cases = []
    for _ in range(300):
        now_s, events = 0.0, []
        for _ in range(int(rng.integers(1, 30))):
            now_s += float(rng.exponential(0.4))
            events.append(
                {
                    "event": str(rng.choice(names)),
                    "now_s": now_s,
                    "jitter": float(rng.random()),
                    "cause": str(rng.choice(causes)),
                }
            )
        cases.append({"events": events})
    found = run_module("breaker", {"cases": cases}, tmp_path)
    assert found == [played(case["events"]) for case in cases]
