"""The interface by which metrics and traces follow a tail's batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from splitfer.cloud_server.inference.face import Face


class BatchObserver(Protocol):
    """Told on the event loop, between two batches: it must be quick and must not raise."""

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """These left the queue of ``model`` together; ``ages_ms`` is how long each one waited."""

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """The network answered these together, in ``tail_ms``."""


class NoWatch:
    """Ignores every batch."""

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """Do nothing."""

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """Do nothing."""
