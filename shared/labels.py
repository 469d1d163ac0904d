"""The seven classes, in the order of every probability vector, and whose word they are."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


class LabelSet(StrEnum):
    """What a tail was taught to answer: what ten people said of each picture (FER+, Barsoum et al.,
    2016), or FER2013's single label. The order is that of a tail's outputs."""

    CROWD = "crowd"
    FER2013 = "fer2013"


def default_label_set(offered: Collection[LabelSet]) -> LabelSet:
    """The one that is answered where none is named: ``crowd`` where it is offered."""
    return next(one for one in LabelSet if one in offered)


def names_of(label_sets: Collection[LabelSet]) -> str:
    """The label sets' names, for an error message."""
    return ", ".join(one.value for one in label_sets)
