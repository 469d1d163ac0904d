"""Whether a demo run showed what it should: every face answered once, on both paths, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def failed_conditions(
    edge_exit: int,
    summary: Mapping[str, Any] | None,
    answers: Sequence[Mapping[str, Any]],
    restart_s: float,
) -> list[str]:
    """The conditions that did not hold, each a readable line; empty where the run was good.

    ``summary`` and ``answers`` are what the edge wrote (None: it wrote no summary), ``restart_s``
    the place in the clip at which the server was started again.
    """
    failed = []
    if edge_exit != 0:
        failed.append(f"the edge client ended with exit code {edge_exit}, not 0")
    if summary is None:
        return [*failed, "the edge client wrote no summary"]
    faces, answered, lost = summary["faces"], summary["answered"], summary["failed"]
    if faces == 0:
        failed.append("no face was found in the clip")
    if faces != answered + lost:
        failed.append(f"{faces} faces were found, but {answered} answered and {lost} failed")
    if lost:
        failed.append(f"{lost} of {faces} faces failed")
    failed += _not_once(faces, answers)
    by_path = Counter(answer["path"] for answer in answers)
    told = {path: count for path, count in summary["by_path"].items() if count}
    if told != dict(by_path):
        failed.append(f"the summary counts {told} by path, the answers {dict(by_path)}")
    failed += [f"no answer came by {path}" for path in ("cloud", "local") if not by_path[path]]
    if not any(a["path"] == "cloud" and a["time_s"] > restart_s for a in answers):
        failed.append(
            f"no answer came by cloud after the server was started again at {restart_s:.1f} s"
        )
    return failed


def _not_once(faces: int, answers: Sequence[Mapping[str, Any]]) -> list[str]:
    failed = []
    if len(answers) != faces:
        failed.append(f"{faces} faces were found, but there are {len(answers)} answers")
    times = Counter((answer["frame"], answer["face"]) for answer in answers)
    twice = [place for place, count in times.items() if count > 1]
    if twice:
        frame, face = twice[0]
        failed.append(
            f"{len(twice)} faces were answered more than once, the first in frame {frame} (face "
            f"{face})"
        )
    per_frame: dict[int, set[int]] = {}
    for frame, face in times:
        per_frame.setdefault(frame, set()).add(face)
    gaps = [frame for frame, seen in per_frame.items() if seen != set(range(len(seen)))]
    if gaps:
        failed.append(f"a face of frame {gaps[0]} has no answer, while its neighbour has")
    return failed
