"""The demo clip while the server is up, absent, killed, paused, and has other weights.

In each: every face is answered exactly once, within its deadline plus one local inference, by
the right path and for the right reason.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Edge, Server

# Generous, since these tests share a small machine with whatever else runs on it.
DEADLINE_MS = 500.0
SCHEDULING_MS = 250.0


def by_path(answers: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    return [one for one in answers if one["path"] == path]


def check(edge: Edge) -> tuple[list[dict[str, Any]], set[str | None]]:
    """What must hold in every run; gives the answers and the reasons of the local ones."""
    code, summary = edge.finish()
    answers = edge.answers()
    assert code == 0, edge.log()
    assert summary["failed"] == 0
    assert len(answers) == summary["faces"] == summary["answered"] > 50
    assert max(Counter((one["frame"], one["face"]) for one in answers).values()) == 1
    assert summary["by_path"] == {p: len(by_path(answers, p)) for p in ("cloud", "local", "image")}
    local = by_path(answers, "local")
    slowest_ms = max((one["latency_ms"]["tail"] for one in local), default=0.0)
    for one in answers:
        assert one["latency_ms"]["total"] <= DEADLINE_MS + slowest_ms + SCHEDULING_MS, one
        assert (one["reason"] is None) == (one["path"] == "cloud")
        assert one["model"].endswith("/" + one["path"])
    return answers, {one["reason"] for one in local}


@pytest.fixture
def server(weights_folder: Path, tmp_path: Path) -> Any:
    with Server(weights_folder, tmp_path / "server.log") as server:
        yield server


def run_edge(folder: Path, weights: Path, server: Server, *flags: str) -> Edge:
    # These are tests of the link: the policy shall not avoid it.
    return Edge(
        folder,
        weights,
        "--server",
        server.address,
        "--policy",
        "cloud",
        "--deadline-ms",
        str(DEADLINE_MS),
        *flags,
    )


def test_up(server: Server, weights_folder: Path, tmp_path: Path) -> None:
    server.start()
    with run_edge(tmp_path, weights_folder, server) as edge:
        answers, reasons = check(edge)
    # A busy machine may lose a race or two against the timer, and nothing else.
    assert reasons <= {"deadline"}
    assert len(by_path(answers, "cloud")) > 0.9 * len(answers)
    assert all(one["sent_bytes"] > 0 for one in by_path(answers, "cloud"))


def test_down_from_the_start(server: Server, weights_folder: Path, tmp_path: Path) -> None:
    with run_edge(tmp_path, weights_folder, server) as edge:
        answers, reasons = check(edge)
    assert reasons == {"link_down"}
    assert by_path(answers, "cloud") == []
    assert all(one["sent_bytes"] == 0 for one in answers)


def test_killed_and_restarted(server: Server, weights_folder: Path, tmp_path: Path) -> None:
    server.start()
    with run_edge(tmp_path, weights_folder, server, "--realtime") as edge:
        edge.wait_for(lambda answers: len(by_path(answers, "cloud")) >= 10, "cloud answers")
        server.kill()
        edge.wait_for(lambda answers: len(by_path(answers, "local")) >= 10, "local answers")
        server.start()
        edge.wait_for(lambda answers: answers[-1]["path"] == "cloud", "cloud to come back")
        _, reasons = check(edge)
    assert reasons <= {"link_down", "breaker_open", "deadline"}
    assert reasons & {"link_down", "breaker_open"}


def test_paused(server: Server, weights_folder: Path, tmp_path: Path) -> None:
    server.start()
    with run_edge(tmp_path, weights_folder, server, "--realtime") as edge:
        edge.wait_for(lambda answers: len(by_path(answers, "cloud")) >= 10, "cloud answers")
        server.signal(signal.SIGSTOP)
        edge.wait_for(
            lambda answers: any(one["reason"] == "breaker_open" for one in answers),
            "the breaker to open",
        )
        server.signal(signal.SIGCONT)
        edge.wait_for(lambda answers: answers[-1]["path"] == "cloud", "cloud to come back")
        _, reasons = check(edge)
    assert {"deadline", "breaker_open"} <= reasons <= {"deadline", "breaker_open", "link_down"}


def test_other_weights(other_weights_folder: Path, weights_folder: Path, tmp_path: Path) -> None:
    with (
        Server(other_weights_folder, tmp_path / "server.log").start() as server,
        run_edge(tmp_path, weights_folder, server) as edge,
    ):
        answers, reasons = check(edge)
    assert reasons == {"model_mismatch"}
    assert by_path(answers, "cloud") == []
    log = edge.log()
    assert log.count("give both the same weights") == 1, "said once, and what differs"
    assert other_weights_folder.name in log
    assert weights_folder.name in log


def test_interrupted(server: Server, weights_folder: Path, tmp_path: Path) -> None:
    server.start()
    with run_edge(tmp_path, weights_folder, server, "--realtime") as edge:
        edge.wait_for(lambda answers: len(answers) >= 10, "answers")
        edge.signal(signal.SIGINT)
        code, summary = edge.finish()
    assert code == 130
    assert summary["faces"] == summary["answered"] == len(edge.answers()) >= 10
