"""What asking about a face once a while, not in each frame, costs and keeps:
``python -m benchmarks cascade_clips --data PATH --votes PATH --json``.

Each face of FER2013 becomes a clip of three seconds at 10 fps: it moves, turns and comes nearer as
before a camera that is held by hand, its light changes, every frame has its own noise, and the
box about it trembles as a detector's does. ``--policy cascade`` is played with the device's own
classes: what is sent, and how often what is shown of a face over time (``smoothed``) is right.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.paths import Column, Paths
from benchmarks.accuracy.truth import USAGES, add_truth, faces_of, label_set_of
from benchmarks.common.bootstrap import draw_counts, interval, points
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.detectors.scenes import Pose, background, paste
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.tracking.smoothing import Smoothing
from splitfer.shared.contracts import Answer, AnswerPath, Box, LatencyMs
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.vision.crop import Cropping, crop_face
from splitfer.shared.weights import Weights, default_folder

FRAMES, FPS = 30, 10.0
SIDE_PX, SCENE_PX = 90, 240
# Of the box's side: how far a detector's box lies off, and how far the face wanders.
_TREMBLE, _WANDER = 0.03, 0.6
_NOISE = 6.0
_BLUR = 0.3  # of the frames, moved by up to 2 px
AGAIN_S = (0.0, 0.5, 1.0, 2.0, 4.0)
THRESHOLDS = (0.6, 0.8, 0.9, 1.01)


@dataclass(frozen=True)
class Clip:
    """One face over time: boxes, and the probabilities ``(30, 7)`` of the device and the server."""

    boxes: list[Box]
    local: NDArray[np.float32]
    cloud: NDArray[np.float32]
    label: int


def frames(picture: NDArray[np.uint8], seed: int) -> Iterator[tuple[NDArray[np.uint8], Box]]:
    """A clip of a picture uint8 ``(48, 48)``: grey frames and the face's boxes in them."""
    rng = np.random.default_rng(seed)
    scene = background(rng)[:SCENE_PX, :SCENE_PX]
    phases = rng.uniform(0, 2 * np.pi, 6)
    speeds = rng.uniform(0.5, 2.0, 6)
    for step in range(FRAMES):
        x, y, nearer, yaw, roll, light = np.sin(phases + speeds * step / FPS)
        pose = Pose(SIDE_PX * (1 + 0.15 * nearer), yaw_deg=abs(20 * yaw), roll_deg=8 * roll)
        middle = (SCENE_PX / 2 + _WANDER * SIDE_PX * x, SCENE_PX / 2 + _WANDER / 2 * SIDE_PX * y)
        grey = scene.copy()
        box = paste(grey, picture, middle, pose, turned=1 if yaw >= 0 else -1)
        if rng.random() < _BLUR:
            moved = int(rng.integers(1, 3))
            grey += (np.roll(grey, moved, axis=1) - grey) / 2
        noisy = grey * (1 + 0.15 * light) + rng.normal(0, _NOISE, grey.shape)
        across, down, larger = rng.normal(0, _TREMBLE, 3)
        side = box.h * (1 + larger)
        left, top = box.x + box.w / 2 + across * box.w, box.y + box.h / 2 + down * box.h
        seen = Box(round(left - side / 2), round(top - side / 2), round(side), round(side))
        yield np.clip(noisy, 0, 255).astype(np.uint8), seen


def clips(paths: Paths, pictures: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[Clip]:
    """Every picture as a clip, answered by the device and by the server in each frame."""
    rate = paths.weights.rate_index("")
    columns = [Column(AnswerPath.LOCAL, rate), Column(AnswerPath.CLOUD, rate)]
    cropping: Cropping = paths.weights.manifest.crop
    made = []
    for number, (picture, label) in enumerate(
        tqdm(zip(pictures, labels, strict=True), total=len(labels), unit="clip", disable=None)
    ):
        shown = list(frames(picture, number))
        crops = np.stack([crop_face(grey, box, cropping) for grey, box in shown])
        scores = paths.run(columns, crops)
        local, cloud = (paths.probabilities(one, scores[one]) for one in columns)
        made.append(Clip([box for _, box in shown], local, cloud, int(label)))
    return made


@dataclass(frozen=True)
class Played:
    """Of all frames of all clips, in order: whether a face was sent, and whether what is shown of
    it over time is right."""

    sent: NDArray[np.bool_]
    right: NDArray[np.bool_]


def play(made: list[Clip], threshold: float, again_s: float, together: bool) -> Played:
    """``--policy cascade`` over the clips, each a video of its own."""
    smooth_s, lost_s = (EdgeConfig.model_fields[one].default for one in ("smooth_s", "lost_s"))
    sent, right = [], []
    for clip in made:
        tracks = AskedTracks(threshold, again_s, smooth_s, lost_s)
        smoothing = Smoothing(smooth_s)
        for step, box in enumerate(clip.boxes):
            face = PendingFace(box, 1.0)
            face.by_device(_answer(clip.local[step], "local"), LatencyMs(total=1.0), None)
            asked = tracks.worth_asking(step / FPS, [face])
            if asked:
                said = _answer(clip.cloud[step], "cloud")
                face.by_server(said, AnswerPath.CLOUD, LatencyMs(total=1.0), together)
                tracks.asked([face], asked, together)
            counted = face.standing or face.answer
            assert counted is not None
            shown = smoothing.add(step / FPS, counted.probabilities, uncertain=False)
            sent.append(bool(asked))
            # A label of contempt is one that no answer has.
            right.append(LABELS.index(shown.label) == clip.label)
    return Played(np.array(sent), np.array(right))


def _answer(row: NDArray[np.float32], tail: str) -> Answer:
    return Answer(tuple(row.tolist()), f"played/{tail}", LabelSet.CROWD)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    label_set = label_set_of(arguments, weights)
    paths = Paths(weights, arguments.tail, arguments.threads, label_set)
    faces = faces_of(arguments, label_set)
    chosen = np.random.default_rng(0).permutation(len(faces))[: arguments.faces]
    made = clips(paths, faces.pictures[chosen], faces.labels[chosen])
    fields = EdgeConfig.model_fields
    threshold, again_s = fields["cascade_threshold"].default, fields["cascade_again_s"].default
    everything = play(made, 1.01, 0.0, together=True)
    alone = play(made, 0.0, 0.0, together=True)
    result: dict[str, Any] = {
        "usage": arguments.usage, "labels": str(label_set), "clips": len(made), "frames": FRAMES,
        "fps": FPS, "fingerprint": weights.manifest.fingerprint, "tail": paths.tail,
        "all_sent": _share(everything.right), "none_sent": _share(alone.right),
        "rows": [], "default": {"threshold": threshold, "again_s": again_s},
    }  # fmt: skip
    for limit, again in itertools.product(THRESHOLDS, AGAIN_S):
        played = play(made, limit, again, together=True)
        change = _by_clip(played) - _by_clip(everything)
        result["rows"].append(
            {
                "threshold": limit,
                "again_s": again,
                "sent": _share(played.sent),
                "accuracy": _share(played.right),
                "less_than_all_sent": difference_of(change),
            }
        )
    result["machine"] = describe_machine()
    return result


def _share(of: NDArray[np.bool_]) -> float:
    return round(float(of.mean()), 4)


def _by_clip(played: Played) -> NDArray[np.float64]:
    return np.asarray(played.right.reshape(-1, FRAMES).mean(axis=1))


def difference_of(change: NDArray[np.float64]) -> dict[str, Any]:
    """The mean of a change ``(N,)`` by clip, and its 95 % interval."""
    means = [counts @ change / len(change) for counts in draw_counts(len(change), 2000)]
    drawn = interval(np.concatenate(means))
    return {"difference": round(float(change.mean()), 6), "interval_95": drawn}


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    of = f"labels {result['labels']}, weights {result['fingerprint']}, tail {result['tail']}"
    lines = [
        f"{result['clips']} clips of {result['frames']} frames, {of}",
        f"every face sent: {result['all_sent']:.2%}; none: {result['none_sent']:.2%}",
        "",
        f"{'threshold':>9}{'again, s':>10}{'sent':>8}{'accuracy':>10}   less all sent, points",
    ]
    for row in result["rows"]:
        less = points(row["less_than_all_sent"])
        lines.append(
            f"{row['threshold']:>9.2f}{row['again_s']:>10.1f}{row['sent']:>8.1%}"
            f"{row['accuracy']:>10.2%}   {less}"
        )
    return "\n".join([*lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_truth(parser)
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--faces", type=positive, default=300, metavar="N", help="clips (300)")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
