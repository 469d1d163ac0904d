from __future__ import annotations

from typing import Any

import pytest

from benchmarks.demo.demo import laps_needed
from benchmarks.demo.table import table
from benchmarks.demo.verdict import failed_conditions

RESTART_S = 5.6


def answer(frame: int, path: str = "cloud", face: int = 0) -> dict[str, Any]:
    return {"frame": frame, "face": face, "time_s": frame / 10, "path": path}


def good_answers() -> list[dict[str, Any]]:
    """Two faces a frame; the cloud is away from 3 s to 6 s."""
    return [
        answer(frame, "local" if 30 <= frame < 60 else "cloud", face)
        for frame in range(80)
        for face in (0, 1)
    ]


def summary_of(answers: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    paths = [answer["path"] for answer in answers]
    return {
        "schema_version": 1,
        "frames": 90,
        "frames_without_face": 10,
        "dropped_frames": 0,
        "faces": len(answers),
        "answered": len(answers),
        "failed": 0,
        "by_path": {path: paths.count(path) for path in ("cloud", "local", "image")},
        "by_reason": {"breaker_open": paths.count("local")},
        "latency_ms": {"p50": 12.34, "p95": 20.0, "p99": None},
        "sent_bytes": {"mean": 6290.5, "max": 6300},
        "wire_bytes": 1234567,
        "seconds": 8.4,
    } | other


def verdict(answers: list[dict[str, Any]], exit_code: int = 0, **other: Any) -> str:
    return "\n".join(failed_conditions(exit_code, summary_of(answers, **other), answers, RESTART_S))


def test_a_good_run_fails_nothing() -> None:
    assert verdict(good_answers()) == ""


def test_an_edge_that_failed_is_told() -> None:
    assert "exit code 3" in verdict(good_answers(), exit_code=3)
    assert failed_conditions(4, None, [], RESTART_S) == [
        "the edge client ended with exit code 4, not 0",
        "the edge client wrote no summary",
    ]


def test_a_face_without_an_answer_is_told() -> None:
    answers = good_answers()
    assert "1 of 160 faces failed" in verdict(answers, answered=159, failed=1)
    assert "160 faces were found, but 159 answered and 0 failed" in verdict(answers, answered=159)
    assert "159 answers" in verdict(answers[:-1], faces=160, answered=160)


def test_a_face_with_two_answers_is_told() -> None:
    answers = good_answers()
    answers[20] = answers[21]
    told = verdict(answers)
    assert "answered more than once, the first in frame 10 (face 1)" in told
    assert "a face of frame 10 has no answer" in told


def test_a_summary_that_differs_from_the_answers_is_told() -> None:
    assert "by path" in verdict(good_answers(), by_path={"cloud": 160, "local": 0, "image": 0})


@pytest.mark.parametrize("path", ["cloud", "local"])
def test_a_path_that_never_occurred_is_told(path: str) -> None:
    other = {"cloud": "local", "local": "cloud"}[path]
    assert f"no answer came by {path}" in verdict([a | {"path": other} for a in good_answers()])


def test_a_cloud_that_did_not_come_back_is_told() -> None:
    answers = [a | {"path": "cloud" if a["frame"] < 30 else "local"} for a in good_answers()]
    assert verdict(answers) == (
        "no answer came by cloud after the server was started again at 5.6 s"
    )


def test_a_run_without_faces_is_told() -> None:
    assert "no face was found" in verdict([])


def test_the_table_names_every_figure() -> None:
    text = table(summary_of(good_answers()))
    for words in ("90", "160", "100  cloud", "60  local", "60  breaker_open", "12.3 ms", "6,300"):
        assert words in text
    assert "image" not in text
    assert "none" in table(summary_of([], by_reason={}))


@pytest.mark.parametrize(("start_s", "laps"), [(0.0, 2), (1.2, 2), (2.0, 3), (1000.0, 9)])
def test_the_clip_is_played_until_a_restart_fits_into_its_last_third(
    start_s: float, laps: int
) -> None:
    assert laps_needed(start_s, clip_s=8.4) == laps
