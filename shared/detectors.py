"""What settings call the face detectors: apart from them, so that naming one loads nothing."""

from __future__ import annotations

from enum import StrEnum


class DetectorName(StrEnum):
    """Which detector finds faces: see docs/device/detectors.md."""

    DLIB = "dlib"
    YUNET = "yunet"
