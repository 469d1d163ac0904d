"""What a request asks of: weights, one of their tails, a label set."""

from __future__ import annotations

from typing import NamedTuple

from splitfer.cloud_server.inference.tail import ServedTail
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.labels import LabelSet


class Target(NamedTuple):
    """Weights, one of their tails, and whose labels are asked for."""

    weights: ServedWeights
    tail: ServedTail
    labels: LabelSet


def target_in(weights: ServedWeights, tail: str, labels: LabelSet | None) -> Target:
    """The tail called ``tail`` of ``weights``; empty, and ``labels`` None, mean the defaults.

    Raises:
        ModelMismatch: no such tail, or it does not answer these labels.
    """
    served_tail = weights.tail(tail)
    return Target(weights, served_tail, weights.label_set(served_tail, labels))
