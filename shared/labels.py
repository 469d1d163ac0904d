"""The seven classes, in the order of every probability vector."""

from __future__ import annotations

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
