"""Where answers go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import FaceEvent
from splitfer.shared.contracts import FaceAnswer


class ReaderLeft(BrokenPipeError):
    """Who read our standard output left: nobody waits for the rest of the run."""


class Sink(Protocol):
    """Takes every frame that was worked on, in order, with the answers of its faces."""

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool | None:
        """Take one frame; ``faces`` is empty where nobody was found. False where that gave nothing
        to write, which does not show that it could have been.

        Raises:
            OSError: this frame could not be written; a later one may be.
            ReaderLeft: nobody reads on.
        """
        ...

    def close(self) -> None:
        """Finish what was begun; a second time does nothing.

        Raises:
            OSError: it could not be finished.
        """
        ...


@runtime_checkable
class EventSink(Protocol):
    """Takes what happens to faces too."""

    def happened(self, frame: Frame, events: Sequence[FaceEvent]) -> None:
        """Take what happened in one frame, before its answers.

        Raises:
            OSError, ReaderLeft: see ``Sink.write``.
        """
        ...
