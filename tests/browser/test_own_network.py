"""Which of its own networks a browser answers with, and what a screen reader hears of answers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from splitfer.cloud_server.rest_api.edge_weights import file_sizes
from splitfer.shared.weights import Weights, default_folder
from tests.browser.node import needs_node, run_module

pytestmark = needs_node
LARGER, LIGHTER = "f00/local", "f00/light"


def played(tmp_path: Path, **case: Any) -> list[dict[str, Any]]:
    """What became of each frame of a device of such times."""
    usual = {"head_ms": 7, "tail_ms": 17, "lighter_ms": 8, "phases": [{"frames": 40}]}
    frames: list[dict[str, Any]] = run_module("own", {"cases": [usual | case]}, tmp_path)[0]
    return frames


def models(frames: list[dict[str, Any]]) -> list[str]:
    return [one["model"] for one in frames]


def test_a_quick_device_loads_no_lighter_network(tmp_path: Path) -> None:
    frames = played(tmp_path)
    assert set(models(frames)) == {LARGER}
    assert not any(one["loads"] for one in frames)


@pytest.mark.parametrize("case", [{"phases": [{"frames": 40, "slowed": 4}]}, {"faces": 3}])
def test_where_the_larger_one_is_too_slow_the_lighter_one_answers_without_a_head(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    frames = played(tmp_path, **case)
    assert models(frames)[0] == LARGER  # patience
    assert set(models(frames[12:])) == {LIGHTER}
    assert not any(one["head"] for one in frames[12:])
    assert {one["head_ms"] for one in frames[12:]} == {None}  # a stage that did not run
    assert sum(one["loads"] for one in frames) == 1


def test_a_device_that_cools_down_takes_the_larger_one_again_and_does_not_waver(
    tmp_path: Path,
) -> None:
    phases = [{"frames": 60, "slowed": by} for by in (1, 4, 1)]
    found = models(played(tmp_path, phases=phases))
    assert (found[59], found[119], found[-1]) == (LARGER, LIGHTER, LARGER)
    assert sum(a != b for a, b in pairwise(found)) == 2
    # Between the two bounds it stays what it was.
    between = [{"frames": 60, "slowed": by} for by in (1.7, 4, 1.7)]
    found = models(played(tmp_path, phases=between))
    assert (found[59], found[-1]) == (LARGER, LIGHTER)


@pytest.mark.parametrize(("own", "model"), [("larger", LARGER), ("lighter", LIGHTER)])
def test_a_choice_is_kept(tmp_path: Path, own: str, model: str) -> None:
    for slowed in (1, 6):
        frames = played(tmp_path, own=own, phases=[{"frames": 30, "slowed": slowed}])
        assert set(models(frames[2:])) == {model}


def test_a_lighter_network_that_does_not_come_is_asked_for_now_and_then(tmp_path: Path) -> None:
    phases = [{"frames": 300, "slowed": 4}]
    frames = played(tmp_path, phases=phases, frame_ms=500, fails=True)
    assert set(models(frames)) == {LARGER}
    assert sum(one["loads"] for one in frames) == 3  # of 150 seconds


def test_a_call_that_fails_is_answered_by_the_lighter_one(tmp_path: Path) -> None:
    """What it takes is kept while the server is asked, and the head runs for the server."""
    phases = [{"frames": 30, "slowed": 4}]
    frames = played(tmp_path, phases=phases, wanted="cloud", reason="overloaded")
    assert {(one["model"], one["reason"], one["head"]) for one in frames[12:]} == {
        (LIGHTER, "overloaded", True)
    }


def test_the_lighter_one_is_the_best_that_is_hardly_worse(tmp_path: Path) -> None:
    weights = Weights(default_folder())
    shipped = weights.manifest.model_dump(mode="json") | {"bytes": file_sizes(weights)}
    right = {"local": 0.87, "a": 0.863, "b": 0.866, "cloud": 0.9}
    sizes = {"local": 5_000_000, "a": 900_000, "b": 1_000_000}

    def made(larger: str = "", gone: str = "", **changes: float) -> dict[str, Any]:
        tails = {
            name: {
                "file": name,
                "path": "cloud" if name == "cloud" else "local",
                "answers": {"crowd": {"accuracy": {"PublicTest": share}}},
            }
            for name, share in (right | changes).items()
        }
        there = sizes | ({larger: 10_000_000} if larger else {})
        return {"tails": tails, "bytes": {k: v for k, v in there.items() if k != gone}}

    manifests = [shipped, made(), made(b=0.8), made(a=0.8, b=0.8)]
    manifests += [made(larger="b"), made(larger="b", a=0.8), made(gone="b"), made(gone="local")]
    cases = [{"manifest": one, "label_set": "crowd"} for one in manifests]
    found = run_module("lighter", {"cases": cases}, tmp_path)
    assert found == ["edgecnn", "b", "a", None, "a", None, "a", None]


def test_a_screen_reader_hears_what_stands(tmp_path: Path) -> None:
    frames = range(0, 30_000, 100)
    still = [[ms, "happy"] for ms in frames]
    waver = [[ms, ("happy", "neutral")[ms // 100 % 2]] for ms in frames]
    twice = [[ms, "happy" if ms < 8000 else "sad"] for ms in frames]
    once, seldom, changed = run_module("heard", {"cases": [still, waver, twice]}, tmp_path)
    said = [
        [(ms, one) for ms, one in zip(frames, of, strict=True) if one] for of in (once, changed)
    ]
    assert said == [[(0, "happy")], [(0, "happy"), (9000, "sad")]]
    assert 2 <= sum(one is not None for one in seldom) <= 4
