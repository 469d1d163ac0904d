"""What following faces saves and steadies: ``python -m benchmarks tracking [--clip FILE]``.

Of one clip, for each ``search_every``: processor time of the search beside that of a search in each
frame, and how many of the faces that one finds are found in about the same place. And how often the
label of a face changes in ten seconds, as each frame says and smoothed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.machine import describe_machine, machine_line
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.tracking.carried import CarriedDetector
from splitfer.shared.contracts import Box
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey

EVERY = (1, 2, 3, 5, 10)
ROUNDS = 3
SEARCH_SIDE_PX, SMALLEST_PX, MOST = 480, 40, 32
# Two boxes of one face share so much of their area.
_SAME = 0.5
Row = dict[str, Any]


def searches(greys: list[NDArray[np.uint8]]) -> list[Row]:
    """A row for each of ``EVERY``, the ways by turns in each round; medians of the rounds."""
    shares: dict[int, list[float]] = defaultdict(list)
    found: dict[int, list[list[Box]]] = {}
    for _ in range(ROUNDS):
        took = {}
        for every in EVERY:
            detector = CarriedDetector(
                DlibDetector(SearchLimits(SEARCH_SIDE_PX, SMALLEST_PX, MOST)), every
            )
            started = time.process_time()
            found[every] = [detector.detect(grey) for grey in greys]
            took[every] = time.process_time() - started
        for every in EVERY:
            shares[every].append(took[every] / took[1])
    wanted = sum(map(len, found[1]))
    return [
        {
            "search_every": every,
            "cpu_share": round(float(np.median(shares[every])), 3),
            "cpu_share_least": round(min(shares[every]), 3),
            "cpu_share_most": round(max(shares[every]), 3),
            "faces": wanted,
            "found_again": sum(
                any(overlap(box, other) >= _SAME for other in others)
                for boxes, others in zip(found[1], found[every], strict=True)
                for box in boxes
            ),
        }
        for every in EVERY
    ]


def labels(frames: list[tuple[float, NDArray[np.uint8]]]) -> Row:
    """How often a face's label changes in ten seconds."""
    raw: dict[int, list[str]] = defaultdict(list)
    smoothed: dict[int, list[str]] = defaultdict(list)
    seconds = 0.0
    with Recognizer() as recognizer:
        last: dict[int, float] = {}
        for (time_s, _), (faces, _) in zip(frames, recognizer.track(frames), strict=True):
            for face in faces:
                assert face.track is not None
                assert face.smoothed is not None
                raw[face.track].append(face.label)
                smoothed[face.track].append(face.smoothed.label)
                seconds += time_s - last.get(face.track, time_s)
                last[face.track] = time_s
    tens = seconds / 10 or float("nan")
    return {
        "faces": sum(len(words) > 1 for words in raw.values()),
        "face_seconds": round(seconds, 2),
        "raw_changes_per_10_s": round(_changes(raw) / tens, 2),
        "smoothed_changes_per_10_s": round(_changes(smoothed) / tens, 2),
    }


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    both = max(0, width) * max(0, height)
    return both / (one.w * one.h + other.w * other.h - both)


def _changes(by_face: dict[int, list[str]]) -> int:
    return sum(a != b for words in by_face.values() for a, b in itertools.pairwise(words))


def _frames(clip: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    with av.open(str(clip)) as container:
        return [
            (float(frame.time or 0.0), np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))
            for frame in container.decode(video=0)
        ]


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clip", type=Path, help="a video (the demo's)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    try:
        with as_file(files("splitfer.edge_client.assets") / "demo.mp4") as demo:
            frames = _frames(arguments.clip or demo)
    except (OSError, av.FFmpegError) as error:
        print(f"tracking: {arguments.clip}: {error.strerror}", file=sys.stderr)
        return 3
    result: Row = {
        "frames": len(frames),
        "searches": searches([to_grey(rgb) for _, rgb in frames]),
        "labels": labels(frames),
        "machine": describe_machine(),
    }
    if arguments.json:
        print(json.dumps(result))
        return 0
    print("search every  processor time  faces found again")
    for row in result["searches"]:
        spread = f"{row['cpu_share_least']:.0%}-{row['cpu_share_most']:.0%}"
        print(
            f"{row['search_every']:12d}  {row['cpu_share']:6.0%} {spread:>8}"
            f"  {row['found_again']} of {row['faces']}"
        )
    found = result["labels"]
    print(
        f"label changes in 10 s of a face: {found['raw_changes_per_10_s']} as each frame says, "
        f"{found['smoothed_changes_per_10_s']} smoothed\n\n{machine_line(result['machine'])}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
