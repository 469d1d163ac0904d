"""The policies over a real server, as a user runs them."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Edge, Server

# Generous, since these tests share a small machine with whatever else runs on it.
FLAGS = ("--deadline-ms", "2000")
# Every other picture of the clip tells as much of a policy, in half the time.
VARIABLES = {"SPLITFER_EDGE_MAX_FPS": "8"}


@pytest.fixture(scope="module")
def server(better_server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Server(better_server_folder, tmp_path_factory.mktemp("server") / "server.log") as server:
        server.start()
        yield server


def run(folder: Path, server: Server, *flags: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    words = ("--server", server.address, *FLAGS, *flags)
    with Edge(folder, server.weights, *words, variables=VARIABLES) as edge:
        code, summary = edge.finish()
        assert code == 0, edge.log()
        assert summary["failed"] == 0
        return [one for one in edge.answers() if one["record"] == "face"], summary


def test_auto_is_the_default_and_explains_itself(server: Server, tmp_path: Path) -> None:
    answers, summary = run(tmp_path, server, "--explain", str(tmp_path / "why.jsonl"))
    explained = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text().splitlines()]
    assert {one["frame"] for one in explained} == {one["frame"] for one in answers}
    assert explained[0]["why"] == "trial"
    assert summary["policy"]["name"] == "auto"
    assert summary["policy"]["decisions"] == Counter(one["chosen"] for one in explained)
    path_of = {one["frame"]: one["chosen"].split(":")[0] for one in explained}
    for one in answers:
        if one["reason"] is None:
            assert one["path"] == path_of[one["frame"]]
    # This server is the more accurate one, and this link is a good one.
    assert summary["by_path"]["cloud"] > 0.8 * len(answers)


def test_latency_and_bytes_do_without_a_server_that_gains_nothing(
    server: Server, tmp_path: Path
) -> None:
    for objective in ("latency", "bytes"):
        _, summary = run(tmp_path, server, "--objective", objective)
        assert summary["policy"]["name"] == "auto"
        if objective == "bytes":
            assert summary["by_path"]["cloud"] <= 5
            assert summary["policy"]["tries"] >= 1


def test_a_cascade_asks_about_what_it_is_not_sure_of(server: Server, tmp_path: Path) -> None:
    alone, _ = run(tmp_path, server, "--policy", "local")
    threshold = statistics.median(one["confidence"] for one in alone)
    answers, _ = run(tmp_path, server, "--policy", "cascade", "--cascade-threshold", str(threshold))
    # What a face showed lately counts, and a steady one is not asked about in each frame.
    own = {(one["frame"], one["face"]): one["confidence"] for one in alone}
    sure = {True: [], False: []}
    for one in answers:
        sure[one["sent_bytes"] > 0].append(own[one["frame"], one["face"]])
    assert statistics.fmean(sure[False]) > statistics.fmean(sure[True])
    assert {one["path"] for one in answers} == {"local", "cloud"}


def test_shadows_are_reported(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text("shadow_share: 0.5\n")
    _, summary = run(tmp_path, server, "--policy", "cloud", "--config", str(config))
    shadow = summary["policy"]["shadow"]
    assert 0.3 * summary["faces"] < shadow["faces"] < 0.7 * summary["faces"]
    assert 0.5 < shadow["agreement"] <= 1
