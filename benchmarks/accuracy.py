"""Accuracy and bytes by path: ``python -m benchmarks.accuracy --data PATH --usage PublicTest``.

Runs the ONNX files through the code that the edge and the server use, from the crop on: dlib finds
no face in a 48x48 picture, so each picture of FER2013 is taken as the crop. ``--through-detector``
enlarges them instead and lets dlib find and crop them; ``--calibration`` asks whether the
probabilities are worth what they say.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import calibration, through_detector
from benchmarks.bootstrap import difference, points
from benchmarks.command import finish
from benchmarks.machine import describe_machine, machine_line
from benchmarks.paths import TOGETHER, Column, Paths, Scores, measure
from benchmarks.picture_codec import NAMES, PictureCodec, picture_codec
from shared.contracts import Path as AnswerPath
from shared.labels import LabelSet
from shared.weights import Weights, default_folder
from training.datasets import DataError, Faces, data_path, load_fer2013
from training.duplicates import TRAINING, copied
from training.figure_file import figure_path

USAGES = ("PublicTest", "PrivateTest", TRAINING)
ALL = "all"


def columns_of(weights: Weights, path: str, rate: str) -> dict[str, Column]:
    """What to measure, by name: a path each, and ``cloud@RATE`` for the further rates of ``all``.

    Raises:
        ConfigError: the weights have no such rate.
    """
    chosen = weights.rate_index("" if rate == ALL else rate)
    paths = list(AnswerPath) if path == ALL else [AnswerPath(path)]
    columns = {str(one): Column(one, chosen) for one in paths}
    if rate == ALL and AnswerPath.CLOUD in paths:
        for index, entry in enumerate(weights.manifest.rates):
            if index != chosen:
                columns[f"{AnswerPath.CLOUD}@{entry.name}"] = Column(AnswerPath.CLOUD, index)
    return columns


def row(
    scores: Scores, labels: NDArray[np.int64], has_copy: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """Accuracy (a fraction) with its 95 % interval, and bytes a face where any are sent."""
    right, sent = scores.right(labels), scores.sent_bytes
    found: dict[str, Any] = {
        "accuracy": round(float(right.mean()), 6),
        "interval_95": wilson(int(right.sum()), len(right)),
    }
    if has_copy is not None and not has_copy.all():
        found["accuracy_without_copies"] = round(float(right[~has_copy].mean()), 6)
    if sent.any():
        p50, p95 = np.percentile(sent, (50, 95))
        found["bytes_mean"] = round(float(sent.mean()), 1)
        found |= {"bytes_p50": float(p50), "bytes_p95": float(p95), "bytes_max": int(sent.max())}
    return found


def wilson(right: int, n: int) -> list[float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.959964, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [round(middle - half, 4), round(middle + half, 4)]


def by_path(
    paths: Paths, columns: dict[str, Column], faces: Faces, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Accuracy and bytes of every column, differences between paths and to other weights."""
    scores = measure(paths, list(columns.values()), faces.pictures, arguments.picture_codec)
    has_copy = _with_a_copy_in_training(faces, arguments)
    rows = {}
    for name, column in columns.items():
        rows[name] = row(scores[column], faces.labels, has_copy)
        if column.path is not AnswerPath.LOCAL:
            rows[name]["rate"] = paths.weights.manifest.rates[column.rate].name
        if column.path is AnswerPath.IMAGE:
            rows[name]["picture_codec"] = str(arguments.picture_codec)
    right = {name: scores[column].right(faces.labels) for name, column in columns.items()}
    if {"cloud", "local"} <= set(columns):
        cloud = columns["cloud"]
        both = paths.together(scores[columns["local"]], scores[cloud], cloud.rate)
        rows[TOGETHER] = row(both, faces.labels, has_copy)
        rows[TOGETHER]["rate"] = paths.weights.manifest.rates[cloud.rate].name
    result: dict[str, Any] = {"paths": rows, "differences": {}}
    if {"cloud", "local"} <= set(right):
        result["differences"]["cloud - local"] = difference(right["cloud"], right["local"])
    if has_copy is not None:
        result["copies_in_training"] = int(has_copy.sum())
    if arguments.against:
        result["against"] = _against(right, columns, faces, arguments)
    return result


def _with_a_copy_in_training(
    faces: Faces, arguments: argparse.Namespace
) -> NDArray[np.bool_] | None:
    if arguments.usage == TRAINING:
        return None
    try:
        training = load_fer2013(data_path(arguments.data), TRAINING)
    except DataError:  # the data set at hand holds the test part alone
        return None
    return copied(faces.pictures, training.pictures)


def _against(
    right: dict[str, NDArray[np.bool_]],
    columns: dict[str, Column],
    faces: Faces,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """How each column differs from the same path of other weights, on the same faces."""
    weights = Weights(arguments.against)
    tail = arguments.tail if arguments.tail in weights.manifest.tails else ""
    other = Paths(weights, tail, arguments.threads, LabelSet.FER2013)
    rate = weights.rate_index("")
    theirs = {
        name: Column(AnswerPath(arguments.against_path or column.path), rate)
        for name, column in columns.items()
    }
    wanted = list(dict.fromkeys(theirs.values()))
    scores = measure(other, wanted, faces.pictures, arguments.picture_codec)
    rows = {
        name: {
            "path": str(column.path),
            "accuracy": round(float(scores[column].right(faces.labels).mean()), 6),
            **difference(right[name], scores[column].right(faces.labels)),
        }
        for name, column in theirs.items()
    }
    return {"fingerprint": weights.manifest.fingerprint, "tail": other.tail, "paths": rows}


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    data = data_path(arguments.data)
    weights = Weights(arguments.weights or default_folder())
    columns = columns_of(weights, arguments.path, arguments.rate)
    # What follows counts against the labels of FER2013.
    paths = Paths(weights, arguments.tail, arguments.threads, LabelSet.FER2013)
    faces = load_fer2013(data, arguments.usage)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    if arguments.through_detector:
        found = through_detector.measure(paths, columns, faces)
    elif arguments.calibration:
        scores = measure(paths, list(columns.values()), faces.pictures, arguments.picture_codec)
        found = calibration.measure(paths, columns, scores, faces.labels, arguments.plot)
    else:
        found = by_path(paths, columns, faces, arguments)
    return {
        "usage": arguments.usage, "n": len(faces), **found,
        "fingerprint": weights.manifest.fingerprint, "tail": paths.tail,
        "machine": describe_machine(),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    head = f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}"
    if "through_detector" in result:
        body = through_detector.table(result)
    elif "calibration" in result:
        body = calibration.table(result)
    else:
        body = _path_table(result)
    return "\n".join([f"{head}, tail {result['tail']}", "", body, "",
                      machine_line(result["machine"])])  # fmt: skip


def _path_table(result: dict[str, Any]) -> str:
    lines = [f"{'path':<14}{'accuracy':>10}{'95 % interval':>20}{'bytes/face':>12}{'p95':>8}"]
    for name, found in result["paths"].items():
        low, high = found["interval_95"]
        interval = f"{low:.2%} - {high:.2%}"
        sent = "".join(
            f"{found[key]:>{width},.0f}" if key in found else f"{'-':>{width}}"
            for key, width in (("bytes_mean", 12), ("bytes_p95", 8))
        )
        lines.append(f"{name:<14}{found['accuracy']:>10.2%}{interval:>20}{sent}")
    if "image" in result["paths"]:
        lines.append(f"image: {result['paths']['image']['picture_codec']}")
    for name, found in result["differences"].items():
        lines.append(f"{name}: {points(found)}")
    if "copies_in_training" in result:
        without = ", ".join(
            f"{name} {found['accuracy_without_copies']:.2%}"
            for name, found in result["paths"].items() if "accuracy_without_copies" in found
        )  # fmt: skip
        lines.append(
            f"without the {result['copies_in_training']} faces that Training also has: {without}"
        )
    if against := result.get("against"):
        lines.append(f"against weights {against['fingerprint']}:")
        for name, found in against["paths"].items():
            lines.append(f"  {name} - their {found['path']}: {points(found)}")
    return "\n".join(lines)


def positive(text: str) -> int:
    """A whole number of at least 1, for ``argparse``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _codec(name: str) -> PictureCodec:
    try:
        return picture_codec(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--path", choices=(ALL, *map(str, AnswerPath)), default=ALL)
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--rate", default="", help="a rate's name, or all; else the default one")
    parser.add_argument("--against", type=Path, help="a second folder, for paired differences")
    parser.add_argument(
        "--against-path", choices=tuple(map(str, AnswerPath)),
        help="compare every path with this one of the second folder",
    )  # fmt: skip
    parser.add_argument(
        "--picture-codec", type=_codec, default="jpeg:75", help=f"for path image: {NAMES}"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--through-detector", action="store_true", help="enlarge, detect and crop the pictures"
    )
    how.add_argument("--calibration", action="store_true", help="calibration and coverage")
    parser.add_argument("--plot", type=figure_path, help="with --calibration: a PNG to draw")
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.plot and not arguments.calibration:
        parser.error("--plot goes with --calibration")
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
