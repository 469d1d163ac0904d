from __future__ import annotations

import json
import sys

import pytest

from benchmarks.device import tracking
from splitfer.shared.contracts import Box


def test_boxes_overlap_by_what_they_share() -> None:
    one = Box(0, 0, 10, 10)
    assert tracking.overlap(one, one) == 1
    assert tracking.overlap(one, Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert tracking.overlap(one, Box(20, 0, 10, 10)) == 0


def test_it_says_what_each_way_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "ROUNDS", 1)
    monkeypatch.setattr(tracking, "EVERY", (1, 10))
    monkeypatch.setattr(sys, "argv", ["tracking", "--json"])
    assert tracking.main() == 0
    result = json.loads(capsys.readouterr().out)
    whole, seldom = result["searches"]
    assert whole["cpu_share"] == 1
    assert whole["found_again"] == whole["faces"] > 100
    assert seldom["found_again"] >= 0.95 * seldom["faces"]
    assert result["labels"]["faces"] == 2
    assert result["labels"]["smoothed_changes_per_10_s"] <= result["labels"]["raw_changes_per_10_s"]
