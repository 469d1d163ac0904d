"""What the models on a device gain where a picture is looked at ten times: five places and their
mirror images, answers averaged (paper 000, section 4, which draws ten windows at random).

A network of 44 px cuts its window out of the middle of the crop, so a picture that was moved gives
it another one: all four corners of the 48 px and the middle are seen, through the shipped files. A
network that takes the whole crop sees the moved picture, whose border is repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy import crowd
from benchmarks.accuracy.paths import BATCH, crops_of
from benchmarks.common.bootstrap import difference, points
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import softmax
from training.data.datasets import Faces
from training.data.ten_windows import ten_windows
from training.data.votes import Votes

# How many of the ten, from the first, each answer is the mean of.
VIEWS = {"single": 1, "mirrored": 2, "ten": 10}
# Float32 ``(N, 7)`` by label set.
Probabilities = dict[LabelSet, NDArray[np.float32]]


def measure(
    weights: Weights, faces: Faces, votes: Votes | None, threads: int
) -> dict[str, dict[str, Any]]:
    """Of each model on a device, by what a user calls it: accuracy of the ``single`` view, of the
    ``mirrored`` pair and of all ``ten`` in the label sets that it answers (``crowd`` by FER+'s
    protocol, with ``votes`` alone), and the ``difference`` of both to the single view on the same
    faces."""
    truth = {LabelSet.FER2013: (faces.labels, np.ones(len(faces), np.bool_))}
    if votes is not None:
        truth[LabelSet.CROWD] = votes.protocol()
    rows: dict[str, dict[str, Any]] = {}
    for name, by_views in answers(weights, faces.pictures, threads).items():
        rows[name] = {}
        for label_set in sorted(truth.keys() & by_views["single"].keys()):
            labels, counted = truth[label_set]
            right = {
                key: (said[label_set].argmax(axis=1) == labels)[counted]
                for key, said in by_views.items()
            }
            rows[name][str(label_set)] = {
                **{key: round(float(one.mean()), 6) for key, one in right.items()},
                "n": int(counted.sum()),
                "difference": {
                    key: difference(right[key], right["single"]) for key in ("mirrored", "ten")
                },
            }
            if votes is not None and label_set is LabelSet.CROWD:
                usable = votes.usable
                rows[name][str(label_set)]["cross_entropy"] = {
                    key: crowd.cross_entropy(said[label_set][usable], votes.subset(usable))
                    for key, said in by_views.items()
                }
    return rows


def answers(
    weights: Weights, pictures: NDArray[np.uint8], threads: int
) -> dict[str, dict[str, Probabilities]]:
    """Calibrated probabilities by model: of the ``single`` view, the mean of it and its mirror
    image (``mirrored``), and the mean of all ``ten``."""
    head = weights.head(threads)
    ids = weights.manifest.local_models
    tails = {name: weights.tail(tail, threads) for name, tail in ids.items()}
    parts: dict[str, dict[str, list[Probabilities]]] = {
        name: {key: [] for key in VIEWS} for name in tails
    }
    for start in tqdm(range(0, len(pictures), BATCH), unit="batch", disable=None):
        views = ten_windows(pictures[start : start + BATCH])
        said: dict[str, list[Probabilities]] = {name: [] for name in tails}
        for crops in map(crops_of, views):
            features = head.run(crops)[0]
            for name, tail in tails.items():
                logits = tail.all_logits(crops[:, None] if tail.takes_crops else features)
                said[name].append(
                    {
                        one: softmax(each / np.float32(weights.temperature(ids[name], 0, one)))
                        for one, each in logits.items()
                    }
                )
        for name, by_view in said.items():
            for key, count in VIEWS.items():
                some = by_view[:count]
                mean = {one: np.mean([view[one] for view in some], axis=0) for one in some[0]}
                parts[name][key].append(mean)
    return {
        name: {key: _joined(some) for key, some in by_views.items()}
        for name, by_views in parts.items()
    }


def _joined(parts: list[Probabilities]) -> Probabilities:
    return {one: np.concatenate([part[one] for part in parts]) for one in parts[0]}


def table(result: dict[str, Any]) -> str:
    """The rows as text."""
    lines = [f"{'model':<12}{'labels':<10}{'faces':>7}{'single':>10}{'mirrored':>10}{'ten':>10}"]
    for name, by_label_set in result["ten_windows"].items():
        for label_set, found in sorted(by_label_set.items()):
            lines.append(
                f"{name:<12}{label_set:<10}{found['n']:>7,}{found['single']:>10.2%}"
                f"{found['mirrored']:>10.2%}{found['ten']:>10.2%}"
            )
            lines += [
                f"  {key} less single: {points(one)}" for key, one in found["difference"].items()
            ]
    return "\n".join(lines)
