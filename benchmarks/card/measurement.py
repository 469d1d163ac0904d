"""Everything that the model card says, measured: one dictionary that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import calibration, crowd
from benchmarks.accuracy.by_path import ALL, bytes_row, columns_of, row
from benchmarks.accuracy.paths import TOGETHER, Column, Paths, Scores, measure
from benchmarks.accuracy.picture_codec import picture_codec
from benchmarks.card.answers import Answers, answers_of
from benchmarks.card.confusion import Confusion
from benchmarks.card.part import Part
from benchmarks.card.slices import COVERED, Slice, covered, of_light, of_pose
from benchmarks.common.bootstrap import difference
from benchmarks.common.wilson import wilson
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior, balanced
from splitfer.shared.weights import Weights
from training.data import votes_report
from training.data.datasets import Faces
from training.data.duplicates import blank, find_pairs
from training.export.calibrate import cloud_tails

USAGE = "PublicTest"
# The path `image` sends the crop so.
PICTURE_CODEC = "jpeg:75"
# An answer is called sure from this probability on.
SURE = 0.8
DETAILED = (str(AnswerPath.CLOUD), str(AnswerPath.LOCAL))

Row = dict[str, Any]


def measure_card(weights: Weights, training: Part, test: Part, threads: int) -> Row:
    """All figures of the card, for the tails and rates that ``weights`` has.

    Accuracy is told by FER2013's label, and by people's where there are votes; everything else in
    the label set that users get. Confusion, calibration, priors, slices and covered faces are those
    of the default tail and rate, and of the local tail.

    Raises:
        DataError: users get ``crowd``, and the parts have no votes or no face that counts.
    """
    manifest, used = weights.manifest, weights.label_set(None)
    pictures = test.faces.pictures
    across = find_pairs(pictures, training.faces.pictures)
    copied = np.zeros(len(pictures), np.bool_)
    copied[across.first] = True
    labels, counted = test.truth(used)

    paths, columns = Paths(weights, "", threads), columns_of(weights, ALL, ALL)
    scores = measure(paths, list(columns.values()), pictures, picture_codec(PICTURE_CODEC))
    accuracy = _accuracy(paths, columns, scores, test, copied)
    for tail in cloud_tails(manifest):
        if tail != manifest.default_tail:
            accuracy += _other_tail(Paths(weights, tail, threads), test, copied)

    answers = answers_of(paths, columns, scores)
    detailed = {name: answers[name] for name in DETAILED}
    told = labels[counted]
    right = {name: one.scores.right(labels)[counted] for name, one in detailed.items()}
    slices = [*of_light(pictures[counted]), *of_pose(pictures[counted])]
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
        "label_sets": [str(one) for one in manifest.label_sets],
        "label_set": str(used),
        "counted": len(told),
        "faces": {"Training": _classes(training.faces), USAGE: _classes(test.faces)},
        "blank": {"Training": _blank(training.faces), USAGE: _blank(test.faces)},
        "people": {
            name: votes_report.report(part.faces, part.votes)
            for name, part in (("Training", training), (USAGE, test))
            if part.votes is not None
        },
        "copies_in_training": int(copied.sum()),
        "accuracy": sorted(accuracy, key=lambda row: _place(row, weights)),
        "confusion": {
            name: Confusion.of(told, one.classes[counted]).counts.tolist()
            for name, one in detailed.items()
        },
        "priors": _priors(answers, told, counted, manifest.priors.get(used)),
        "calibration": {
            name: _calibration(one, test, used) | {"temperature": one.temperature}
            for name, one in answers.items()
        },
        "sure": {
            name: _sure(one.probabilities[counted], right[name]) for name, one in detailed.items()
        },
        "slices": [_slice(one, right) for one in slices],
        "covered": _covered(
            paths, {name: columns[name] for name in DETAILED}, right, pictures[counted], told
        ),
        "labels": _labels(training.faces, test.faces, across.first, across.second),
    }  # fmt: skip


def _accuracy(
    paths: Paths,
    columns: dict[str, Column],
    scores: dict[Column, Scores],
    test: Part,
    copied: NDArray[np.bool_],
) -> list[Row]:
    by_label = answers_of(paths.asked(LabelSet.FER2013), columns, scores)
    return [
        {
            "path": one.path,
            "tail": one.tail,
            "rate": one.rate,
            "fer2013": row(by_label[name].scores, test.faces.labels, copied),
            **_said(one, test, copied),
            **bytes_row(one.scores.sent_bytes),
        }
        for name, one in answers_of(paths, columns, scores).items()
    ]


def _said(answers: Answers, test: Part, copied: NDArray[np.bool_]) -> Row:
    """By people's label, where there are votes."""
    if test.votes is None:
        return {}
    labels, counted = test.truth(LabelSet.CROWD)
    usable = test.votes.usable
    kept = Scores(answers.scores.logits[counted], answers.scores.sent_bytes[counted])
    figures = crowd.by_label(labels[counted], answers.classes[counted])
    nats = crowd.cross_entropy(answers.probabilities[usable], test.votes.subset(usable))
    found = row(kept, labels[counted], copied[counted])
    return {"crowd": {**found, **figures, "cross_entropy": nats}}


def _place(row: Row, weights: Weights) -> tuple[int, int, int]:
    """By path, then by tail and rate in the manifest's order."""
    manifest = weights.manifest
    names = [entry.name for entry in manifest.rates]
    return (
        [*AnswerPath, TOGETHER].index(row["path"]),
        list(manifest.tails).index(row["tail"]),
        names.index(row["rate"]) if row["rate"] else 0,
    )


def _other_tail(paths: Paths, test: Part, copied: NDArray[np.bool_]) -> list[Row]:
    columns = columns_of(paths.weights, str(AnswerPath.CLOUD), ALL)
    codec = picture_codec(PICTURE_CODEC)
    scores = measure(paths, list(columns.values()), test.faces.pictures, codec)
    return _accuracy(paths, columns, scores, test, copied)


def _classes(faces: Faces) -> dict[str, int]:
    counts = np.bincount(faces.labels, minlength=len(LABELS))
    return dict(zip(LABELS, counts.tolist(), strict=True))


def _blank(faces: Faces) -> int:
    return int(blank(faces.pictures).sum())


def _priors(
    answers: dict[str, Answers],
    labels: NDArray[np.int64],
    counted: NDArray[np.bool_],
    prior: tuple[float, ...] | None,
) -> dict[str, dict[str, Row]]:
    """By path and prior: accuracy and figures by label; nothing where ``prior`` is not known."""
    if prior is None:
        return {}
    found: dict[str, dict[str, Row]] = {}
    for name in (*DETAILED, TOGETHER):
        natural = answers[name].probabilities[counted]
        even = balanced(natural, np.array(prior))
        given = {Prior.NATURAL: answers[name].classes[counted], Prior.BALANCED: even.argmax(axis=1)}
        found[name] = {
            str(one): {
                "accuracy": round(float((classes == labels).mean()), 6),
                **crowd.by_label(labels, classes),
            }
            for one, classes in given.items()
        }
    return found


def _calibration(answers: Answers, test: Part, label_set: LabelSet) -> Row:
    if label_set is LabelSet.FER2013 or test.votes is None:
        return calibration.by_label(answers.probabilities, test.faces.labels)
    return crowd.calibration_row(answers.probabilities, test.votes)


def _sure(probabilities: NDArray[np.float32], right: NDArray[np.bool_]) -> Row:
    """How many answers are sure, and how many of those are wrong."""
    sure = probabilities.max(axis=1) >= SURE
    return {"from": SURE, "n": int(sure.sum()), "wrong": int((sure & ~right).sum())}


def _slice(one: Slice, right: dict[str, NDArray[np.bool_]]) -> Row:
    n = int(one.chosen.sum())
    rows = {}
    for name, correct in right.items():
        hits = int(correct[one.chosen].sum())
        rows[name] = {"accuracy": round(hits / n, 6), "interval_95": wilson(hits, n)}
    return {"by": one.by, "name": one.name, "n": n, **rows}


def _covered(
    paths: Paths,
    columns: dict[str, Column],
    right: dict[str, NDArray[np.bool_]],
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for part in COVERED:
        hidden = covered(pictures, part)
        scores = measure(paths, list(columns.values()), hidden, picture_codec(PICTURE_CODEC))
        found[part] = {}
        for name, column in columns.items():
            hits = scores[column].right(labels)
            accuracy = round(float(hits.mean()), 6)
            found[part][name] = {"accuracy": accuracy, **difference(hits, right[name])}
            answers = scores[column].logits.argmax(axis=1)
            found[part][name]["recall"] = Confusion.of(labels, answers).recall.tolist()
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
