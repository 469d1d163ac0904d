"""The device: frames in, one answer per face out, through the cloud or alone.

with Recognizer() as recognizer:
    faces = recognizer.faces("portrait.jpg")

Everything that it raises on purpose is a ``SplitFerError``; the rest of them are its kinds.
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
    from splitfer.shared.contracts import FaceAnswer

__all__ = [
    "ConfigError", "FaceAnswer", "ImageError", "PayloadTooLarge", "Recognizer", "SourceError",
    "SourceRefused", "SplitFerError", "UnsupportedPicture", "WeightsError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What takes a second to import is imported when it is asked for."""
    if name == "Recognizer":
        from splitfer.edge_client.recognizer import Recognizer

        return Recognizer
    if name == "FaceAnswer":
        from splitfer.shared.contracts import FaceAnswer

        return FaceAnswer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
