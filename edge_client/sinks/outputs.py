"""All outputs of a run as one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from splitfer.edge_client.sinks.sink import EventSink, ReaderLeft, Sink
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import FaceEvent
from splitfer.shared.contracts import FaceAnswer

# False where there was nothing to write.
Act = Callable[[], bool | None]
_log = logging.getLogger(__name__)


class Outputs:
    """Gives every frame to every sink. One that cannot be written, of a full disk say, is named in
    the log once and does not hold up the others.

    ``failures`` counts by the sink's name the frames that it lacks, and one more where it could not
    be finished.
    ``failing`` has the words of those that cannot be written now.
    ``beat`` writes a sign of life to the one called ``output``.
    """

    def __init__(self, sinks: Mapping[str, Sink], beat: Act | None = None) -> None:
        self.failures: Counter[str] = Counter()
        self.failing: dict[str, str] = {}
        self._sinks = dict(sinks)
        self._beats = {"output": beat} if beat is not None else {}

    def add(self, name: str, sink: Sink, idle: Act | None = None) -> None:
        """Add a sink from the next frame on; ``idle`` is called while no frame comes."""
        self._sinks[name] = sink
        if idle is not None:
            self._beats[name] = idle

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Give one frame to all.

        Raises:
            ReaderLeft: nobody reads standard output any more.
        """
        for name, sink in self._sinks.items():
            self.attempt(name, lambda sink=sink: sink.write(frame, faces))  # type: ignore[misc]

    def happened(self, frame: Frame, events: Sequence[FaceEvent]) -> None:
        """Tell those that want to know what happened to the frame's faces.

        Raises:
            ReaderLeft: nobody reads standard output any more.
        """
        for name, sink in self._sinks.items() if events else ():
            if isinstance(sink, EventSink):
                self.attempt(name, lambda sink=sink: sink.happened(frame, events))  # type: ignore[misc]

    def idle(self) -> None:
        """No frame came for a moment.

        Raises:
            ReaderLeft: nobody reads standard output any more.
        """
        for name, beat in self._beats.items():
            self.attempt(name, beat)

    def close(self) -> None:
        """Finish all; a second time does nothing."""
        for name, sink in self._sinks.items():
            self.attempt(name, sink.close)

    def attempt(self, name: str, act: Act) -> None:
        """Write something of the output called ``name``; a failure counts as one of it, and it is
        whole again once something was written."""
        try:
            if act() is not False:
                self.failing.pop(name, None)
        except ReaderLeft:
            raise
        except OSError as error:
            self.failing[name] = error.strerror or str(error)
            if not self.failures[name]:
                _log.error("--%s: %s; the others go on", name, self.failing[name])
            self.failures[name] += 1
