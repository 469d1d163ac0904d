"""Which faces are worth asking about: those that the device's own answer is not sure of."""

from __future__ import annotations

from collections.abc import Sequence

from splitfer.shared.contracts import Answer


def unsure_faces(answers: Sequence[Answer], threshold: float) -> tuple[int, ...]:
    """Indices of the answers whose calibrated confidence (0..1) lies below ``threshold``."""
    return tuple(i for i, answer in enumerate(answers) if answer.confidence < threshold)
