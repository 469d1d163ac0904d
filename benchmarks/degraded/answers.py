"""What ``benchmarks.degraded`` measures: answers to pictures degraded in every way, and how right
and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.calibration import equal_width, expected_error
from benchmarks.accuracy.paths import TOGETHER, Column, Paths, measure
from benchmarks.accuracy.picture_codec import picture_codec
from benchmarks.common.bootstrap import difference
from benchmarks.degraded.degradations import CLEAN, DEGRADATIONS, Degradation
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.weights import Weights
from training.data.datasets import Faces
from training.data.votes import Votes

FER2013, CROWD = "fer2013", "crowd"
# From here on an answer is called sure.
SURE = 0.8
# Probabilities (N, 7) by path and by degradation.
Answers = dict[str, dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Truth:
    """What answers are measured by: ``labels`` ``(N,)`` where ``counted``; and for calibration
    ``shares`` ``(N, 7)``, how right each answer would be, where ``shared``."""

    labels: NDArray[np.int64]
    counted: NDArray[np.bool_]
    shares: NDArray[np.float32]
    shared: NDArray[np.bool_]


def truths(faces: Faces, votes: Votes | None) -> dict[str, Truth]:
    """By label set: FER2013's label of every face; of ``votes`` the label of FER+'s protocol, and
    for calibration the shares of the votes."""
    all_of_them = np.ones(len(faces), np.bool_)
    one_hot = np.eye(len(LABELS), dtype=np.float32)[faces.labels]
    found = {FER2013: Truth(faces.labels, all_of_them, one_hot, all_of_them)}
    if votes is not None:
        found[CROWD] = Truth(*votes.protocol(), votes.distribution, votes.usable)
    return found


def answers_by_label_set(
    weights: Weights,
    tail: str,
    rate: str,
    threads: int,
    pictures: NDArray[np.uint8],
    label_sets: Iterable[str],
    ways: Mapping[str, Degradation] = DEGRADATIONS,
) -> dict[str, Answers]:
    """What ``local``, ``cloud`` at a rate and the mean of both say of pictures ``(N, 48, 48)`` in
    every one of ``ways``, in each label set; an empty ``tail`` or ``rate`` means the
    default one. Where the weights do not answer in a label set, it is what they do answer.

    Raises:
        ConfigError, WeightsError: the weights have no such tail or rate, or are not in order.
    """
    index, answered = weights.rate_index(rate), weights.manifest.label_sets
    paths = Paths(weights, tail, threads)
    by_set = {
        name: paths.asked(LabelSet(name)) if name in answered else paths for name in label_sets
    }
    local, cloud = Column(AnswerPath.LOCAL, index), Column(AnswerPath.CLOUD, index)
    found: dict[str, Answers] = {name: {"cloud": {}, "local": {}, TOGETHER: {}} for name in by_set}
    for way, degradation in ways.items():
        degraded = degradation.apply(pictures)
        scores = measure(paths, [local, cloud], degraded, picture_codec("jpeg:75"))
        for name, asked in by_set.items():
            own, theirs = (scores[one].asked(asked.label_set) for one in (local, cloud))
            found[name]["cloud"][way] = asked.probabilities(cloud, theirs)
            found[name]["local"][way] = asked.probabilities(local, own)
            found[name][TOGETHER][way] = np.exp(asked.together(own, theirs, index).logits)
    return found


def right(probabilities: NDArray[np.float32], truth: Truth) -> NDArray[np.bool_]:
    """Which answers are the label, of the faces that count."""
    return np.asarray((probabilities.argmax(axis=1) == truth.labels)[truth.counted])


def row(probabilities: NDArray[np.float32], truth: Truth) -> dict[str, Any]:
    """Accuracy and how sure the answers are. ``ece``: over bins of equal width, against
    ``truth.shares``. ``sure_and_wrong``: the share of faces answered wrongly with ``SURE``."""
    correct, confidence = right(probabilities, truth), probabilities.max(axis=1)
    sure = confidence[truth.shared]
    said = truth.shares[np.arange(len(confidence)), probabilities.argmax(axis=1)][truth.shared]
    return {
        "accuracy": round(float(correct.mean()), 6),
        "n": len(correct),
        "confidence_mean": round(float(confidence[truth.counted].mean()), 6),
        "ece": round(expected_error(sure, said, equal_width(sure)), 4),
        "sure_and_wrong": round(float(((confidence[truth.counted] >= SURE) & ~correct).mean()), 6),
    }


def rows(found: Answers, truth: Truth) -> dict[str, dict[str, dict[str, Any]]]:
    """By path and degradation: ``row``, and ``change`` against the pictures as they are."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for path, by_kind in found.items():
        clean = right(by_kind[CLEAN], truth)
        result[path] = {name: row(said, truth) for name, said in by_kind.items()}
        for name, said in by_kind.items():
            if name != CLEAN:
                result[path][name]["change"] = difference(right(said, truth), clean)
    return result


def compared(ours: Answers, theirs: Answers, truth: Truth) -> dict[str, dict[str, dict[str, Any]]]:
    """By path and degradation, on the same faces: our accuracy minus theirs, and what we lose as a
    share of what they lose (None where they lose nothing)."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for path, by_kind in ours.items():
        result[path] = {}
        clean = [right(one[path][CLEAN], truth).mean() for one in (ours, theirs)]
        for name, said in by_kind.items():
            both = right(said, truth), right(theirs[path][name], truth)
            our_loss, their_loss = (c - one.mean() for c, one in zip(clean, both, strict=True))
            result[path][name] = {
                **difference(*both),
                "loss_share": round(float(our_loss / their_loss), 4) if their_loss > 0 else None,
            }
    return result
