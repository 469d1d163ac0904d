"""One JSON line per face, on standard output or in a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from edge_client.frame import Frame
from edge_client.records import face_record
from shared.contracts import FaceAnswer
from shared.errors import ConfigError


class JsonLines:
    """Writes to ``target``, a path or ``-``; each frame's lines are out before the next frame.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, target: str) -> None:
        self._own = target != "-"
        try:
            # Closed by close(), like every sink.
            self._out: TextIO = Path(target).open("w") if self._own else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise ConfigError(f"--output {target}: {error.strerror}") from error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """The lines of one frame."""
        for index, face in enumerate(faces):
            self._out.write(json.dumps(face_record(frame, index, face)) + "\n")
        if faces:
            self._out.flush()

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._own:
            self._out.close()
