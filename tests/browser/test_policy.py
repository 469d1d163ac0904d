"""Which path the browser takes: what a Python edge's policy takes on the same device and link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitfer.edge_client.policy.estimates import Estimates, Smoothed
from splitfer.edge_client.policy.policy import Memory, PolicySettings, decide
from splitfer.edge_client.policy.prediction import FrameFacts, Route
from splitfer.shared.contracts import AnswerPath
from tests.browser.node import needs_node, run_module

pytestmark = needs_node
FRAMES = 150
DEADLINE_MS, SERVER_MS, PAYLOAD_BYTES = 500.0, 5.0, 400


def case(**changes: Any) -> dict[str, Any]:
    usual = {
        "frames": FRAMES, "wanted": "auto", "refusal": None, "elapsed_ms": 60.0, "tail_ms": 20.0,
        "encode_ms": 1.0, "call_ms": 30.0, "cloud_is_better": True, "deadline_ms": DEADLINE_MS,
    }  # fmt: skip
    return usual | changes


def python_paths(one: dict[str, Any]) -> list[str]:
    """The paths of a Python edge's ``auto`` that has the same two ways."""
    local = Route(AnswerPath.LOCAL, 0.8, log_loss=0.8)
    merit = 0.7 if one["cloud_is_better"] else 0.9
    cloud = Route(AnswerPath.CLOUD, 0.8, "default", log_loss=merit)
    settings = PolicySettings((local, cloud), one["deadline_ms"], shadow_share=0.0)
    estimates, memory, paths = Estimates({"default": PAYLOAD_BYTES}), Memory(), []
    estimates.answered(one["tail_ms"], 1)
    for number in range(one["frames"]):
        now_s = number / 10
        estimates.next_frame()
        frame = FrameFacts(one["elapsed_ms"], 1, 640 * 480)
        decision, memory = decide(estimates.costs(), frame, settings, memory, now_s)
        paths.append(decision.path.value)
        if decision.path is AnswerPath.LOCAL:
            estimates.answered(one["tail_ms"], 1)
        if decision.path is AnswerPath.CLOUD or decision.probe is not None:
            estimates.encoded("default", one["encode_ms"], PAYLOAD_BYTES, 1)
            link_ms = one["call_ms"] - SERVER_MS
            estimates.replied(AnswerPath.CLOUD, PAYLOAD_BYTES, link_ms, SERVER_MS, now_s)
    return paths


@pytest.mark.parametrize(
    ("frame_ms", "search_ms", "share"),
    [(100, 20, 1.0), (100, 70, 1 / 3), (1000, 70, 1.0)],
    ids=["quick", "slow search", "few frames"],
)
def test_an_old_box_is_not_taken_for_a_face(
    tmp_path: Path, frame_ms: float, search_ms: float, share: float
) -> None:
    given = {"frame_ms": frame_ms, "search_ms": search_ms, "frames": 40}
    searched = run_module("searched", given, tmp_path)[10:]
    assert sum(searched) / len(searched) == pytest.approx(share, abs=0.05)


def test_auto_settles_where_a_python_edges_does(tmp_path: Path) -> None:
    cases = [
        case(call_ms=call_ms, tail_ms=tail_ms, elapsed_ms=elapsed_ms, cloud_is_better=better)
        for call_ms in (8.0, 40.0, 120.0, 350.0, 900.0)
        for tail_ms in (5.0, 25.0, 80.0)
        for elapsed_ms in (20.0, 110.0)
        for better in (True, False)
    ]
    # A link of 20 KB/s and 200 ms: a face's payload takes 20 ms more.
    cases.append(case(call_ms=200 + PAYLOAD_BYTES / 20 + SERVER_MS))
    settled = set()
    for one, found in zip(cases, run_module("paths", {"cases": cases}, tmp_path), strict=True):
        last = {path for path, _, _ in found[-10:]}
        expected = set(python_paths(one)[-10:])
        assert last == expected, one
        settled |= expected
    assert settled == {"local", "cloud"}


def test_a_choice_and_a_refusal_are_kept(tmp_path: Path) -> None:
    cases = [
        case(wanted="local"),
        case(wanted="cloud"),
        case(wanted="cloud", refusal="breaker_open"),
        case(wanted="auto", refusal="link_down"),
        case(wanted="cloud", elapsed_ms=320.0),  # the device should have started already
    ]
    found = run_module("paths", {"cases": cases}, tmp_path)
    expected = [
        ("local", None),
        ("cloud", None),
        ("local", "breaker_open"),
        ("local", "link_down"),
        ("local", "deadline"),
    ]
    for paths, one in zip(found, expected, strict=True):
        assert {(path, reason) for path, reason, _ in paths} == {one}
        assert not any(trial for _, _, trial in paths)


def test_a_better_server_that_is_not_in_use_is_tried_now_and_then(tmp_path: Path) -> None:
    (paths,) = run_module("paths", {"cases": [case(call_ms=900.0)]}, tmp_path)
    assert 2 <= sum(trial for _, _, trial in paths) <= FRAMES / 15
    (paths,) = run_module("paths", {"cases": [case(cloud_is_better=False)]}, tmp_path)
    assert not any(trial for _, _, trial in paths)


def test_what_is_measured_is_smoothed_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    numbers = [rng.exponential(20, int(rng.integers(1, 40))).tolist() for _ in range(50)]
    for row, found in zip(
        numbers, run_module("smoothed", {"numbers": numbers}, tmp_path), strict=True
    ):
        expected = Smoothed()
        for value in row:
            expected.add(value)
        assert found == pytest.approx([expected.cost.typical_ms, expected.cost.p95_ms])
