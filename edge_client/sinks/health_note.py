"""How a run is, for a probe that knows its process number alone.

The run keeps a few words in memory that has a name and no place in a file system; who may look into
the process (its user, root) reads them below ``/proc/PID/fd``. A run that is killed leaves nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from splitfer.edge_client.sinks.run_status import Health
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock

_NAME = "splitfer-health"
_EVERY_S = 0.5
_LONGEST_BYTES = 1000


@dataclass(frozen=True)
class Noted:
    """How a run was at a monotonic instant; ``words`` say what fails, or what it waits for."""

    at_s: float
    health: Health
    words: str | None


class HasHealth(Protocol):
    """The part of ``RunStatus`` that is noted."""

    @property
    def failing(self) -> Callable[[], str | None]:
        """What fails."""
        ...

    @property
    def source_fault(self) -> Callable[[], str | None]:
        """What is waited for."""
        ...

    def health(self) -> Health:
        """How it is."""
        ...


class HealthNote:
    """A sink that notes how ``status`` is, twice a second at most."""

    def __init__(self, status: HasHealth, clock: Clock = time.monotonic) -> None:
        self._status, self._clock = status, clock
        self._at_s = float("-inf")
        self._file = os.memfd_create(_NAME)
        os.truncate(self._file, _LONGEST_BYTES)
        self.idle()

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """One frame was answered."""
        self.idle()

    def idle(self) -> None:
        """Note how it is, where it is time for it."""
        now_s = self._clock()
        if self._file < 0 or now_s - self._at_s < _EVERY_S:
            return
        self._at_s = now_s
        health = self._status.health()
        words = self._status.source_fault() if health is Health.WAITING else self._status.failing()
        note = json.dumps({"at_s": now_s, "health": health.value, "words": words and words[:300]})
        os.pwrite(self._file, note.encode().ljust(_LONGEST_BYTES)[:_LONGEST_BYTES], 0)

    def close(self) -> None:
        """It says nothing any more; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_note(process: Path) -> Noted | None:
    """The note of the process at such as ``/proc/7``; None where it has none, or may not be looked
    into.

    Raises:
        FileNotFoundError: there is no such process.
    """
    try:
        links = list((process / "fd").iterdir())
    except PermissionError:
        return None
    for link in links:
        with suppress(OSError):  # one that was closed meanwhile
            if os.readlink(link).startswith(f"/memfd:{_NAME}"):
                return _noted(link.read_bytes())
    return None


def _noted(data: bytes) -> Noted | None:
    try:
        note = json.loads(data[:_LONGEST_BYTES])
        return Noted(float(note["at_s"]), Health(note["health"]), note["words"])
    except (ValueError, KeyError, TypeError):  # half written
        return None
