from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.attack.bounds import misses, success, table
from benchmarks.common.machine import describe_machine

CALLS = {"asked": 10, "failed": {}, "p50_ms": 5.0, "p95_ms": 10.0}
ROW: dict[str, Any] = {
    "title": "a flood", "alive": True, "idle_mib": 500, "peak_mib": 700, "left_mib": 520,
    "after_s": 1.0, "stop_s": 1.5,
    "quiet": dict.fromkeys(("face", "picture", "probe"), CALLS),
    "attacked": dict.fromkeys(("face", "picture", "probe"), CALLS),
}  # fmt: skip


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(ROW) | values


def attacked(kind: str, **values: Any) -> dict[str, Any]:
    row = copy.deepcopy(ROW)
    row["attacked"][kind] = CALLS | values
    return row


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (ROW, []),
        (changed(peak_mib=1101), ["memory"]),
        (changed(left_mib=601), ["memory after"]),
        (changed(stop_s=4.1), ["stop"]),
        (changed(alive=False), ["died"]),
        (attacked("face", failed={"cancelled": 1}), ["success"]),
        (attacked("picture", p95_ms=30.1), ["p95 picture"]),
        (attacked("face", p50_ms=10.1), ["p50 face"]),
    ],
)
def test_a_bound_that_does_not_hold_is_named(row: dict[str, Any], missed: list[str]) -> None:
    assert misses(row) == missed


def test_the_table_says_what_was_missed_and_where_it_was_measured() -> None:
    row = attacked("face", failed={"503": 3})
    rows = {"good": ROW | {"misses": []}, "bad": row | {"misses": misses(row)}}
    machine = describe_machine()
    told = table(
        {
            "drain_s": 2,
            "quiet_s": 3.0,
            "attack_s": 4.5,
            "after_s": 18.0,
            "attacks": rows,
            "machine": machine,
        }
    )
    assert success(row) == pytest.approx(0.9)
    assert "90.0%" in told
    assert "1 of 2 attacks" in told
    assert machine["processor"] in told
