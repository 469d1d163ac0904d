"""The books: every frame and face once, and percentiles in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.ledger import Ledger, Percentiles
from splitfer.shared.contracts import Answer, AnswerPath, Box, FaceAnswer, LatencyMs, Reason, Trust
from splitfer.shared.labels import LabelSet

ANSWER = Answer((1.0, 0, 0, 0, 0, 0, 0), "m", LabelSet.FER2013)


def face(
    path: AnswerPath,
    reason: Reason | None = None,
    ms: float = 10,
    sent: int = 0,
    rate: str | None = None,
    uncertain: bool = False,
) -> FaceAnswer:
    times, trust = LatencyMs(total=ms), Trust(0.4, uncertain)
    return FaceAnswer(Box(0, 0, 9, 9), ANSWER, path, reason, times, sent, rate, 0.3, trust)


def test_the_summary_of_a_small_run() -> None:
    ledger = Ledger()
    ledger.frame_answered([])
    ledger.frame_answered(
        [
            face(AnswerPath.CLOUD, sent=100, rate="low"),
            face(AnswerPath.CLOUD, sent=300, rate="high"),
        ]
    )
    ledger.frame_answered([face(AnswerPath.LOCAL, Reason.LINK_DOWN, uncertain=True)])
    ledger.frame_failed(2)
    summary = ledger.summary(dropped=3, wire_bytes=512)
    seconds = summary.pop("seconds")
    assert seconds >= 0
    assert summary == {
        "schema_version": 5, "frames": 7, "frames_without_face": 1, "dropped_frames": 3,
        "faces": 5, "answered": 3, "failed": 2, "uncertain": 1,
        "by_path": {"cloud": 2, "local": 1, "image": 0}, "by_reason": {"link_down": 1},
        "by_rate": {"high": 1, "low": 1},
        "latency_ms": dict.fromkeys(("p50", "p95", "p99"), pytest.approx(10, rel=0.01)),
        "sent_bytes": {"mean": 200.0, "max": 300}, "wire_bytes": 512,
    }  # fmt: skip
    assert ledger.balanced(captured=7, dropped=3)
    assert not ledger.balanced(captured=8, dropped=3)


def test_an_empty_run_has_a_summary() -> None:
    summary = Ledger().summary(0, 0)
    assert summary["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert summary["sent_bytes"] == {"mean": 0, "max": 0}


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200), st.floats(0.01, 1))
def test_percentiles_are_those_of_a_sorted_list_to_one_per_cent(
    values: list[float], share: float
) -> None:
    percentiles = Percentiles()
    for value in values:
        percentiles.add(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    got = percentiles.at(share)
    assert got is not None
    assert abs(got - exact) <= 0.01 * exact + 0.005
