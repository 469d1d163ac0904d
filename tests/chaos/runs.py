"""What must hold for a whole run of the edge as a process, whatever happened meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import Any

from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LABELS
from tests.chaos.faces import SEARCH_SIDE_PX, TOLERANCE, Picture
from tests.chaos.watch import DEADLINE_MS, SCHEDULING_MS
from tests.processes import Edge

CLIP_FRAMES = 168
ROUNDING = 1e-4
FLAGS = ("--policy", "cloud", "--deadline-ms", str(DEADLINE_MS), "--realtime")
VARIABLES = {"SPLITFER_EDGE_SEARCH_SIDE_PX": str(SEARCH_SIDE_PX)}
# Long enough for every fault, at 8.4 s a lap; it is interrupted when the fault is over.
SOURCE = "demo*60"


def last(edge: Edge, path: AnswerPath, faces: int = 3) -> bool:
    """Whether the last faces were answered on a path."""
    answers = edge.answers()[-faces:]
    return len(answers) == faces and all(one["path"] == path for one in answers)


def check_run(edge: Edge, clip: list[Picture], exit_code: int = 130) -> set[str]:
    """The books balance, no answer is late, each is what its face gets offline; gives the reasons
    of the local ones."""
    code, summary = edge.finish()
    answers = edge.answers()
    assert code == exit_code, edge.log()
    assert summary["failed"] == 0, edge.log()
    assert len(answers) == summary["faces"] == summary["answered"] > 20
    assert max(Counter((one["frame"], one["face"]) for one in answers).values()) == 1
    slowest_ms = max(
        (one["latency_ms"]["tail"] for one in answers if one["path"] == "local"), default=0
    )
    known = {picture.frame: picture.faces for picture in clip}
    for one in answers:
        assert one["latency_ms"]["total"] <= DEADLINE_MS + slowest_ms + SCHEDULING_MS, one
        assert (one["reason"] is None) == (one["path"] == "cloud")
        faces = known.get(one["frame"] % CLIP_FRAMES)
        if faces is not None:
            face = faces[one["face"]]
            assert one["box"] == face.box.as_list()
            probabilities = [one["probabilities"][label] for label in LABELS]
            assert face.off(one["path"], one["rate"], probabilities) <= TOLERANCE + ROUNDING, one
    return {one["reason"] for one in answers} - {None}


def reasons_so_far(edge: Edge) -> dict[str, Any]:
    """How often each reason occurred."""
    return Counter(one["reason"] for one in edge.answers() if one["reason"])
