"""Everything that the model card says, measured: one dictionary that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import calibration
from benchmarks.accuracy import ALL, bytes_row, columns_of, row, wilson
from benchmarks.bootstrap import difference
from benchmarks.card.confusion import Confusion
from benchmarks.card.slices import COVERED, Slice, covered, of_light, of_pose
from benchmarks.paths import TOGETHER, Column, Paths, Scores, measure
from benchmarks.picture_codec import picture_codec
from shared.contracts import Path as AnswerPath
from shared.labels import LABELS, LabelSet
from shared.weights import Weights
from shared.weights.manifest import LOCAL_TAIL
from training.datasets import Faces
from training.duplicates import blank, find_pairs

USAGE = "PublicTest"
# The path `image` sends the crop so.
PICTURE_CODEC = "jpeg:75"
# An answer is called sure from this probability on.
SURE = 0.8
DETAILED = (str(AnswerPath.CLOUD), str(AnswerPath.LOCAL))

Row = dict[str, Any]


def measure_card(
    weights: Weights, training: Faces, test: Faces, threads: int,
    label_set: LabelSet = LabelSet.FER2013,
) -> Row:  # fmt: skip
    """All figures of the card, for the tails and rates that ``weights`` has, by the labels that
    ``training`` and ``test`` bear: those of ``label_set``.

    Confusion, calibration, slices and covered faces are those of the default tail and rate, and
    of the local tail.
    """
    manifest = weights.manifest
    across = find_pairs(test.pictures, training.pictures)
    copied = np.zeros(len(test), np.bool_)
    copied[across.first] = True

    paths, columns = Paths(weights, "", threads, label_set), columns_of(weights, ALL, ALL)
    scores = measure(paths, list(columns.values()), test.pictures, picture_codec(PICTURE_CODEC))
    accuracy = _accuracy(paths, columns, scores, test, copied)
    for tail in manifest.tails:
        if tail not in (LOCAL_TAIL, manifest.default_tail):
            other = Paths(weights, tail, threads, label_set)
            accuracy += _other_tail(other, test, copied)

    detailed = {name: columns[name] for name in DETAILED}
    right = {name: scores[column].right(test.labels) for name, column in detailed.items()}
    answers = {name: scores[column].logits.argmax(axis=1) for name, column in detailed.items()}
    slices = [*of_light(test.pictures), *of_pose(test.pictures)]
    return {
        "fingerprint": manifest.fingerprint,
        "tail": manifest.default_tail,
        "rate": manifest.default_rate,
        "bytes": {
            entry.file: (weights.folder / entry.file).stat().st_size
            for entry in (manifest.head, *manifest.tails.values())
        },
        "origin": manifest.origin,
        "usage": USAGE,
        "label_set": str(label_set),
        "faces": {"Training": _classes(training), USAGE: _classes(test)},
        "blank": {"Training": _blank(training), USAGE: _blank(test)},
        "copies_in_training": int(copied.sum()),
        "accuracy": sorted(accuracy, key=lambda row: _place(row, weights)),
        "confusion": {
            name: Confusion.of(test.labels, found).counts.tolist()
            for name, found in answers.items()
        },
        "calibration": _calibration(paths, columns, scores, test.labels),
        "sure": {
            name: _sure(paths, column, scores[column], test.labels)
            for name, column in detailed.items()
        },
        "slices": [_slice(one, right) for one in slices],
        "covered": _covered(paths, detailed, right, test),
        "labels": _labels(training, test, across.first, across.second),
    }


def _accuracy(
    paths: Paths,
    columns: dict[str, Column],
    scores: dict[Column, Scores],
    test: Faces,
    copied: NDArray[np.bool_],
) -> list[Row]:
    rates = paths.weights.manifest.rates
    found = [
        {
            "path": str(column.path),
            "tail": LOCAL_TAIL if column.path is AnswerPath.LOCAL else paths.tail,
            "rate": "" if column.path is AnswerPath.LOCAL else rates[column.rate].name,
            **row(scores[column], test.labels, copied),
            **bytes_row(scores[column].sent_bytes),
        }
        for column in columns.values()
    ]
    if {"cloud", "local"} <= set(columns):
        cloud = columns["cloud"]
        both = paths.together(scores[columns["local"]], scores[cloud], cloud.rate)
        place = {"path": TOGETHER, "tail": paths.tail, "rate": rates[cloud.rate].name}
        found.append(place | row(both, test.labels, copied) | bytes_row(both.sent_bytes))
    return found


def _place(row: Row, weights: Weights) -> tuple[int, int, int]:
    """By path, then by tail and rate in the manifest's order."""
    manifest = weights.manifest
    names = [entry.name for entry in manifest.rates]
    return (
        [*AnswerPath, TOGETHER].index(row["path"]),
        list(manifest.tails).index(row["tail"]),
        names.index(row["rate"]) if row["rate"] else 0,
    )


def _other_tail(paths: Paths, test: Faces, copied: NDArray[np.bool_]) -> list[Row]:
    columns = columns_of(paths.weights, str(AnswerPath.CLOUD), ALL)
    codec = picture_codec(PICTURE_CODEC)
    scores = measure(paths, list(columns.values()), test.pictures, codec)
    return _accuracy(paths, columns, scores, test, copied)


def _classes(faces: Faces) -> dict[str, int]:
    counts = np.bincount(faces.labels, minlength=len(LABELS))
    return dict(zip(LABELS, counts.tolist(), strict=True))


def _blank(faces: Faces) -> int:
    return int(blank(faces.pictures).sum())


def _calibration(
    paths: Paths,
    columns: dict[str, Column],
    scores: dict[Column, Scores],
    labels: NDArray[np.int64],
) -> dict[str, Row]:
    rows = calibration.measure(paths, columns, scores, labels, None)["calibration"]
    for name, column in columns.items():
        tail = LOCAL_TAIL if column.path is AnswerPath.LOCAL else paths.tail
        rows[name]["temperature"] = paths.weights.temperature(tail, column.rate, paths.label_set)
    if TOGETHER in rows:  # the mean of two that are calibrated has none of its own
        rows[TOGETHER]["temperature"] = 1.0
    found: dict[str, Row] = rows
    return found


def _sure(paths: Paths, column: Column, scores: Scores, labels: NDArray[np.int64]) -> Row:
    """How many answers are sure, and how many of those are wrong."""
    sure = paths.probabilities(column, scores).max(axis=1) >= SURE
    wrong = int((sure & ~scores.right(labels)).sum())
    return {"from": SURE, "n": int(sure.sum()), "wrong": wrong}


def _slice(one: Slice, right: dict[str, NDArray[np.bool_]]) -> Row:
    n = int(one.chosen.sum())
    rows = {}
    for name, correct in right.items():
        hits = int(correct[one.chosen].sum())
        rows[name] = {"accuracy": round(hits / n, 6), "interval_95": wilson(hits, n)}
    return {"by": one.by, "name": one.name, "n": n, **rows}


def _covered(
    paths: Paths, columns: dict[str, Column], right: dict[str, NDArray[np.bool_]], test: Faces
) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for part in COVERED:
        pictures = covered(test.pictures, part)
        scores = measure(paths, list(columns.values()), pictures, picture_codec(PICTURE_CODEC))
        found[part] = {}
        for name, column in columns.items():
            hits = scores[column].right(test.labels)
            accuracy = round(float(hits.mean()), 6)
            found[part][name] = {"accuracy": accuracy, **difference(hits, right[name])}
            answers = scores[column].logits.argmax(axis=1)
            found[part][name]["recall"] = Confusion.of(test.labels, answers).recall.tolist()
    return found


def _labels(
    training: Faces, test: Faces, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Row:
    """How often the same picture bears two labels, in Training and between it and the test."""
    within = find_pairs(training.pictures)
    differ = training.labels[within.first] != training.labels[within.second]
    across = test.labels[first] != training.labels[second]
    return {
        "Training": {"pairs": len(differ), "differ": int(differ.sum())},
        f"Training and {USAGE}": {"pairs": len(across), "differ": int(across.sum())},
    }
