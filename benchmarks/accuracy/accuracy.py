"""Accuracy and bytes by path: ``python -m benchmarks accuracy --data PATH --usage PublicTest``.

Runs the ONNX files through the code that the edge and the server use, from the crop on: dlib finds
no face in a 48x48 picture, so each picture of FER2013 is taken as the crop. ``--through-detector``
enlarges them instead and lets dlib find and crop them; ``--calibration`` asks whether the
probabilities are worth what they say.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import calibration, crowd, through_detector
from benchmarks.accuracy.paths import TOGETHER, Column, Paths, Scores, measure
from benchmarks.accuracy.picture_codec import NAMES, PictureCodec, picture_codec
from benchmarks.accuracy.truth import add_truth, faces_of, label_set_of
from benchmarks.common.bootstrap import difference, points
from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.detectors import DetectorName
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import balanced
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import DataError, Faces, data_path, load_fer2013
from training.data.duplicates import TRAINING, copied
from training.data.votes import Votes, load_votes, votes_or_none, votes_path
from training.study.figure_file import figure_path

USAGES = ("PublicTest", "PrivateTest", TRAINING)
ALL = "all"
# What the prior changes, of the figures by votes.
BALANCED_FIGURES = ("protocol", "plurality", "macro_f1", "macro_recall", "recall")


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
    """Accuracy (a fraction) by FER2013's label with its 95 % interval."""
    right = scores.right(labels)
    found: dict[str, Any] = {
        "accuracy": round(float(right.mean()), 6),
        "n": len(right),
        "interval_95": wilson(int(right.sum()), len(right)),
    }
    if has_copy is not None and not has_copy.all():
        found["accuracy_without_copies"] = round(float(right[~has_copy].mean()), 6)
    return found


def bytes_row(sent: NDArray[np.int64]) -> dict[str, Any]:
    """Bytes a face; nothing where none are sent."""
    if not sent.any():
        return {}
    p50, p95 = np.percentile(sent, (50, 95))
    return {
        "bytes_mean": round(float(sent.mean()), 1),
        "bytes_p50": float(p50), "bytes_p95": float(p95), "bytes_max": int(sent.max()),
    }  # fmt: skip


def crowd_row(
    probabilities: NDArray[np.float32], votes: Votes, prior: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Answers measured by people's votes; with the ``prior`` of training, under an even one too."""
    found = crowd.measure(probabilities, votes)
    if prior is not None:
        even = crowd.measure(balanced(probabilities, prior), votes)
        found["balanced"] = {key: even[key] for key in BALANCED_FIGURES}
    return found


def wilson(right: int, n: int) -> list[float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.959964, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def by_path(
    paths: Paths, columns: dict[str, Column], faces: Faces, votes: Votes | None,
    arguments: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy and bytes of every column in both label sets, differences between paths and to other
    weights."""
    scores = measure(paths, list(columns.values()), faces.pictures, arguments.picture_codec)
    has_copy = _with_a_copy_in_training(faces, arguments)
    by_label, by_votes = paths, paths.asked(paths.weights.manifest.default_label_set)
    prior = by_votes.weights.manifest.priors.get(by_votes.label_set)
    rows: dict[str, Any] = {}
    answers: dict[str, NDArray[np.float32]] = {}

    def add(name: str, rate: int, label: Scores, said: NDArray[np.float32]) -> None:
        rows[name] = {"fer2013": row(label, faces.labels, has_copy)}
        answers[name] = said
        if votes is not None:
            even = None if prior is None else np.array(prior)
            rows[name]["crowd"] = crowd_row(said, votes, even)
        rows[name] |= bytes_row(label.sent_bytes)
        if label.sent_bytes.any():
            rows[name]["rate"] = paths.weights.manifest.rates[rate].name

    for name, column in columns.items():
        label, said = scores[column], scores[column].asked(by_votes.label_set)
        add(name, column.rate, label, by_votes.probabilities(column, said))
        if column.path is AnswerPath.IMAGE:
            rows[name]["picture_codec"] = str(arguments.picture_codec)
    right = {name: scores[column].right(faces.labels) for name, column in columns.items()}
    result: dict[str, Any] = {"paths": rows, "differences": {}}
    if {"cloud", "local"} <= set(columns):
        cloud, local = columns["cloud"], columns["local"]
        both = by_label.together(scores[local], scores[cloud], cloud.rate)
        said = by_votes.together(
            scores[local].asked(by_votes.label_set), scores[cloud].asked(by_votes.label_set),
            cloud.rate,
        )  # fmt: skip
        add(TOGETHER, cloud.rate, both, np.exp(said.logits))
        result["differences"]["cloud - local"] = difference(right["cloud"], right["local"])
        if votes is not None:
            labels, chosen = votes.protocol()
            result["differences"]["cloud - local, crowd"] = difference(*(
                (answers[name].argmax(axis=1) == labels)[chosen] for name in ("cloud", "local")
            ))  # fmt: skip
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
    weights = Weights(arguments.weights or default_folder())
    columns = columns_of(weights, arguments.path, arguments.rate)
    by_path_of_both = not (arguments.through_detector or arguments.calibration)
    label_set = LabelSet.FER2013 if by_path_of_both else label_set_of(arguments, weights)
    paths = Paths(weights, arguments.tail, arguments.threads, label_set)
    # Probabilities say how votes are spread, also where they agree on no label.
    faces = faces_of(arguments, LabelSet.FER2013 if arguments.calibration else label_set)
    if arguments.most is not None:
        faces = faces.subset(np.arange(len(faces)) < arguments.most)
    if arguments.through_detector:
        found = through_detector.measure(paths, columns, faces, DetectorName(arguments.detector))
    elif arguments.calibration:
        scores = measure(paths, list(columns.values()), faces.pictures, arguments.picture_codec)
        judge = _judge(faces, label_set, arguments)
        found = calibration.measure(paths, columns, scores, judge, arguments.plot)
    else:
        file = (votes_path if arguments.plot else votes_or_none)(arguments.votes)
        votes = None if file is None else load_votes(file, faces, arguments.usage)
        found = by_path(paths, columns, faces, votes, arguments)
        if arguments.plot and votes is not None:
            draw_by_entropy(found["paths"], arguments.plot)
    return {
        "usage": arguments.usage, "labels": str(label_set), "n": len(faces), **found,
        "fingerprint": weights.manifest.fingerprint, "tail": paths.tail,
        "machine": describe_machine(),
    }  # fmt: skip


def _judge(
    faces: Faces, label_set: LabelSet, arguments: argparse.Namespace
) -> Callable[[NDArray[np.float32]], dict[str, Any]]:
    if label_set is LabelSet.FER2013:
        return partial(calibration.by_label, labels=faces.labels)
    votes = load_votes(votes_path(arguments.votes), faces, arguments.usage)
    return partial(crowd.calibration_row, votes=votes)


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


def draw_by_entropy(rows: dict[str, Any], target: Path) -> None:
    """Accuracy by how far people agree, of the main paths, as a PNG."""
    drawn = {name: rows[name]["crowd"] for name in (*AnswerPath, TOGETHER) if name in rows}
    crowd.draw(drawn, target)


def _path_table(result: dict[str, Any]) -> str:
    lines = [f"{'path':<14}{'FER2013':>10}{'95 % interval':>20}{'bytes/face':>12}{'p95':>8}"]
    for name, found in result["paths"].items():
        low, high = found["fer2013"]["interval_95"]
        interval = f"{low:.2%} - {high:.2%}"
        sent = "".join(
            f"{found[key]:>{width},.0f}" if key in found else f"{'-':>{width}}"
            for key, width in (("bytes_mean", 12), ("bytes_p95", 8))
        )
        lines.append(f"{name:<14}{found['fer2013']['accuracy']:>10.2%}{interval:>20}{sent}")
    if "image" in result["paths"]:
        lines.append(f"image: {result['paths']['image']['picture_codec']}")
    for name, difference_found in result["differences"].items():
        lines.append(f"{name}: {points(difference_found)}")
    if "copies_in_training" in result:
        without = ", ".join(
            f"{name} {found['fer2013']['accuracy_without_copies']:.2%}"
            for name, found in result["paths"].items()
            if "accuracy_without_copies" in found["fer2013"]
        )
        lines.append(
            f"without the {result['copies_in_training']} faces that Training also has: {without}"
        )
    if against := result.get("against"):
        lines.append(f"against weights {against['fingerprint']}:")
        for name, found in against["paths"].items():
            lines.append(f"  {name} - their {found['path']}: {points(found)}")
    said = {name: found["crowd"] for name, found in result["paths"].items() if "crowd" in found}
    if said:
        lines += ["", "by what people said:", crowd.table(said), *_balanced_lines(said)]
    return "\n".join(lines)


def _balanced_lines(said: dict[str, Any]) -> list[str]:
    return [
        f"{name}, under an even prior: protocol {even['protocol']['accuracy']:.2%}, macro F1 "
        f"{even['macro_f1']:.3f}, recall {even['macro_recall']:.3f}"
        for name, found in said.items() if (even := found.get("balanced"))
    ]  # fmt: skip


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
    add_truth(parser)
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
    parser.add_argument(
        "--detector",
        choices=[one.value for one in DetectorName],
        default=DetectorName.DLIB.value,
        help="of --through-detector",
    )
    how.add_argument("--calibration", action="store_true", help="calibration and coverage")
    parser.add_argument(
        "--plot", type=figure_path,
        help="a PNG to draw: of the calibration, else accuracy by how far people agree",
    )  # fmt: skip
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.plot and arguments.through_detector:
        parser.error("--plot does not go with --through-detector")
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
