"""The device: frames in, one answer per face out, through the cloud or alone.

with Recognizer() as recognizer:
    faces = recognizer.faces("portrait.jpg")

What it raises on purpose is a ``SplitFerError``, of which the others here are kinds, or, where it
is given what is no picture at all, a ``TypeError`` or ``ValueError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from splitfer.shared.errors import (
    ConfigError,
    ImageError,
    PayloadTooLarge,
    SourceError,
    SourceRefused,
    SplitFerError,
    UnsupportedPicture,
    WeightsError,
)

if TYPE_CHECKING:
    from splitfer.edge_client.recognizer import Recognizer
    from splitfer.edge_client.tracking.faces import FaceEvent
    from splitfer.shared.contracts import FaceAnswer

__all__ = [
    "ConfigError", "FaceAnswer", "FaceEvent", "ImageError", "PayloadTooLarge", "Recognizer",
    "SourceError", "SourceRefused", "SplitFerError", "UnsupportedPicture", "WeightsError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What takes a second to import is imported when it is asked for."""
    if name == "Recognizer":
        from splitfer.edge_client.recognizer import Recognizer

        return Recognizer
    if name == "FaceAnswer":
        from splitfer.shared.contracts import FaceAnswer

        return FaceAnswer
    if name == "FaceEvent":
        from splitfer.edge_client.tracking.faces import FaceEvent

        return FaceEvent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
