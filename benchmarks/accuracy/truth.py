"""What counts as right: the faces of a part with the labels of one label set."""

from __future__ import annotations

import argparse
from pathlib import Path

from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from training.data.datasets import Faces, data_path
from training.data.duplicates import TRAINING
from training.data.judged import judged_part
from training.data.votes import votes_or_none, votes_path

USAGES = ("PublicTest", "PrivateTest", TRAINING)


def add_truth(parser: argparse.ArgumentParser) -> None:
    """The options that say whose labels count."""
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv: what people said")
    parser.add_argument(
        "--labels",
        type=LabelSet,
        choices=tuple(LabelSet),
        help="crowd counts FER+'s protocol, and needs --votes; else that where both can be, "
        "and FER2013's label where not",
    )


def label_set_of(arguments: argparse.Namespace, weights: Weights) -> LabelSet:
    """The label set that is measured: of ``--labels``, else `crowd` where there are votes and the
    weights answer it."""
    if arguments.labels is not None:
        return weights.label_set(arguments.labels)
    answered = LabelSet.CROWD in weights.manifest.label_sets
    return LabelSet.CROWD if answered and votes_or_none(arguments.votes) else LabelSet.FER2013


def faces_of(arguments: argparse.Namespace, label_set: LabelSet) -> Faces:
    """The faces of ``--usage`` that count in the label set, with its labels.

    A label of 7 is one that no answer has (contempt).

    Raises:
        DataError: data or votes are missing or not as they should be.
    """
    judged = judged_part(data_path(arguments.data), _votes(arguments, label_set), arguments.usage)
    labels = judged.labels[label_set]
    counted = judged.faces.subset(labels >= 0)
    return Faces(counted.pictures, labels[labels >= 0], counted.ids)


def _votes(arguments: argparse.Namespace, label_set: LabelSet) -> Path | None:
    if label_set is LabelSet.FER2013:
        return None
    return votes_path(arguments.votes)
