"""JSON lines, on standard output or in a file: one per face, or one per decision."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from edge_client.decision import Decision
from edge_client.frame import Frame
from edge_client.records import decision_record, face_record
from shared.contracts import FaceAnswer
from shared.errors import ConfigError


class JsonLines:
    """One line per face to ``target``, a path or ``-``; each frame's lines are out before the next
    frame. ``flag`` is the one that named the target.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, target: str, flag: str = "--output") -> None:
        self._own = target != "-"
        try:
            # Closed by close(), like every sink.
            self._out: TextIO = Path(target).open("w") if self._own else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise ConfigError(f"{flag} {target}: {error.strerror}") from error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """The lines of one frame."""
        self._write([face_record(frame, index, face) for index, face in enumerate(faces)])

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._own:
            self._out.close()

    def _write(self, records: Sequence[dict[str, Any]]) -> None:
        for record in records:
            self._out.write(json.dumps(record) + "\n")
        if records:
            self._out.flush()


class Explanations(JsonLines):
    """One line per frame in which there was something to decide; ``decision`` gives the last."""

    def __init__(self, target: str, decision: Callable[[], Decision | None]) -> None:
        super().__init__(target, "--explain")
        self._decision = decision

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """The line of one frame."""
        if decision := self._decision():
            self._write([decision_record(frame, decision)])
