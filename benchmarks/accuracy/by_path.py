"""Accuracy and bytes of each path in both label sets, what lies between paths, and to other
weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import crowd
from benchmarks.accuracy.paths import TOGETHER, Column, Paths, Scores, measure
from benchmarks.common.bootstrap import difference, points
from benchmarks.common.wilson import wilson
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import balanced
from splitfer.shared.weights import Weights
from training.data.datasets import DataError, Faces, data_path, load_fer2013
from training.data.duplicates import TRAINING, copied
from training.data.votes import Votes

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
        "bytes_p50": float(p50),
        "bytes_p95": float(p95),
        "bytes_max": int(sent.max()),
    }


def crowd_row(
    probabilities: NDArray[np.float32], votes: Votes, prior: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Answers measured by people's votes; with the ``prior`` of training, under an even one too."""
    found = crowd.measure(probabilities, votes)
    if prior is not None:
        even = crowd.measure(balanced(probabilities, prior), votes)
        found["balanced"] = {key: even[key] for key in BALANCED_FIGURES}
    return found


def measure_paths(
    paths: Paths,
    columns: dict[str, Column],
    faces: Faces,
    votes: Votes | None,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
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
        if name != AnswerPath.IMAGE and label.sent_bytes.any():
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
            scores[local].asked(by_votes.label_set),
            scores[cloud].asked(by_votes.label_set),
            cloud.rate,
        )
        add(TOGETHER, cloud.rate, both, np.exp(said.logits))
        result["differences"]["cloud - local"] = difference(right["cloud"], right["local"])
        if votes is not None:
            labels, chosen = votes.protocol()
            result["differences"]["cloud - local, crowd"] = difference(
                *((answers[name].argmax(axis=1) == labels)[chosen] for name in ("cloud", "local"))
            )
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


def draw_by_entropy(rows: dict[str, Any], target: Path) -> None:
    """Accuracy by how far people agree, of the main paths, as a PNG."""
    drawn = {name: rows[name]["crowd"] for name in (*AnswerPath, TOGETHER) if name in rows}
    crowd.draw(drawn, target)


def table(result: dict[str, Any]) -> str:
    """The rows as text."""
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
        for name, found in said.items()
        if (even := found.get("balanced"))
    ]
