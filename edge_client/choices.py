"""What settings choose among: apart from them, so that naming the choices loads nothing."""

from __future__ import annotations

from enum import StrEnum


class Objective(StrEnum):
    """What makes an answer the best of those that are predicted to be in time."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    BYTES = "bytes"


class Policy(StrEnum):
    """Who answers: see docs/device/policy.md."""

    AUTO = "auto"
    CASCADE = "cascade"
    CLOUD = "cloud"
    LOCAL = "local"
    IMAGE = "image"
