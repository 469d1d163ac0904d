"""Accuracy against bytes: ``python -m benchmarks rate_accuracy --data PATH --plot FILE``.

Every rate of the latent, the latent raw as bytes and floats, and the face as a picture: JPEG, WebP
and AVIF at many sides and qualities, by the same weights. Faces of pictures are answered by head
and local tail, as the server does. Of each codec only those points are measured that no other point
betters in size and likeness to the original.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.float_tail import FloatTail
from benchmarks.accuracy.paths import BATCH, Column, Paths, crops_of, joined
from benchmarks.accuracy.picture_codec import PictureCodec
from benchmarks.accuracy.picture_grid import choose
from benchmarks.accuracy.rate_curve import Point, compare, hull
from benchmarks.accuracy.rate_plot import draw
from benchmarks.accuracy.truth import USAGES, add_truth, faces_of, label_set_of
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.common.wilson import wilson
from splitfer.shared.codec.payload import HEADER_BYTES, MAX_PAYLOAD_BYTES
from splitfer.shared.contracts import LATENT_SHAPE, AnswerPath
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import Faces
from training.study.figure_file import figure_path

FINEST = 0
RATE, RAW = "rate", "raw"
FLOATS = {"float16": np.float16, "float32": np.float32}


def latent_points(paths: Paths, faces: Faces, threads: int) -> list[Point]:
    """Every rate, and the latent raw: one byte a symbol, float16, float32."""
    rates = paths.weights.manifest.rates
    columns = [Column(AnswerPath.CLOUD, rate) for rate in range(len(rates))]
    float_tail = FloatTail(paths.weights, paths.tail, threads)
    sent: dict[Column, list[Any]] = {column: [] for column in columns}
    floats: dict[str, list[NDArray[np.float32]]] = {name: [] for name in FLOATS}
    for start in tqdm(range(0, len(faces), BATCH), desc="latents", disable=None):
        z = paths.z(crops_of(faces.pictures[start : start + BATCH]))
        for column in columns:
            sent[column].append(paths.sent(z, column.rate))
        for name, kind in FLOATS.items():
            floats[name].append(
                float_tail.logits(z.astype(kind).astype(np.float32), paths.label_set)
            )
    points = []
    for column in columns:
        scores = joined(sent[column])
        right = scores.right(faces.labels)
        points.append(Point(RATE, rates[column.rate].name, right, scores.sent_bytes))
    points.append(Point(RAW, "one byte", points[FINEST].right, _all(faces, MAX_PAYLOAD_BYTES)))
    for name, kind in FLOATS.items():
        right = np.concatenate(floats[name]).argmax(axis=1) == faces.labels
        size = HEADER_BYTES + int(np.prod(LATENT_SHAPE)) * np.dtype(kind).itemsize
        points.append(Point(RAW, name, right, _all(faces, size)))
    return points


def _all(faces: Faces, size: int) -> NDArray[np.int64]:
    return np.full(len(faces), size, np.int64)


def picture_point(paths: Paths, faces: Faces, codec: PictureCodec) -> Point:
    """One codec at one side and quality, on the path ``image``."""
    scores = joined(
        [
            paths.run_image(faces.pictures[start : start + BATCH], codec)
            for start in range(0, len(faces), BATCH)
        ]
    )
    return Point(codec.kind, str(codec), scores.right(faces.labels), scores.sent_bytes)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    label_set = label_set_of(arguments, weights)
    paths = Paths(weights, arguments.tail, arguments.threads, label_set)
    faces = faces_of(arguments, label_set)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    points = latent_points(paths, faces, arguments.threads)
    chosen = choose(faces.pictures)
    todo = [sampled.codec for codecs in chosen.values() for sampled in codecs]
    for codec in tqdm(todo, desc="pictures", unit="point", disable=None):
        points.append(picture_point(paths, faces, codec))
    kinds = {kind: [p for p in points if p.kind == kind] for kind in (RATE, RAW, *chosen)}
    result = {
        "usage": arguments.usage, "labels": str(label_set), "n": len(faces),
        "points": [row for some in kinds.values() for row in _rows(some)],
        "against": {kind: compare(kinds[RATE], kinds[kind]) for kind in chosen},
        "fingerprint": weights.manifest.fingerprint, "tail": paths.tail,
        "machine": describe_machine(),
    }  # fmt: skip
    if arguments.plot:
        title = f"{arguments.usage}, {len(faces):,} faces, labels {label_set}, tail {paths.tail}"
        draw(result["points"], title, arguments.plot)
    return result


def _rows(points: list[Point]) -> list[dict[str, Any]]:
    places = hull(
        np.array([point.bytes_mean for point in points]),
        np.array([point.accuracy for point in points]),
    )
    return [
        {
            "kind": point.kind,
            "name": point.name,
            "bytes_mean": round(point.bytes_mean, 1),
            "accuracy": round(point.accuracy, 6),
            "interval_95": wilson(int(point.right.sum()), len(point.right)),
            "on_hull": place in places,
        }
        for place, point in enumerate(points)
    ]


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}", ""]
    lines.append(f"{'':<6}{'':<26}{'bytes/face':>12}{'accuracy':>10}   (* on its codec's hull)")
    for row in result["points"]:
        star = " *" if row["on_hull"] else ""
        lines.append(
            f"{row['kind']:<6}{row['name']:<26}{row['bytes_mean']:>12,.1f}"
            f"{row['accuracy']:>10.2%}{star}"
        )
    lines.append("\nbytes of the latent / bytes of a picture, at equal accuracy")
    for kind, found in result["against"].items():
        if found["accuracies"] is None:
            lines.append(f"{kind}: no accuracy in common (its best: {found['best_accuracy']:.2%})")
            continue
        low, high = found["accuracies"]
        lines.append(
            f"{kind}: from {low:.1%} to {high:.1%} at most {found['ratio_worst']:.2f} "
            f"{found.get('ratio_worst_interval_95', '')}, mean {found['ratio_mean']:.2f}"
        )
    return "\n".join([*lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_truth(parser)
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--plot", type=figure_path, help="a PNG to draw")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
