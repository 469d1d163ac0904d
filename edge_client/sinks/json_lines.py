"""JSON lines, on standard output or in a file: one per face, or one per decision."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.sinks.records import (
    UNNAMED,
    Origin,
    decision_record,
    event_record,
    face_record,
)
from splitfer.edge_client.sinks.sink import ReaderLeft
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import FaceEvent
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import ConfigError
from splitfer.shared.whole_file import is_file_or_absent, real_file

MB = 1_000_000
# Of every record: what does not begin so is another's file.
_BEGIN = b'{"source": '
_BLOCK_BYTES = 1 << 16

_log = logging.getLogger(__name__)


class JsonLines:
    """Adds one line per face to ``target``, a path or ``-``; each frame's lines are out before the
    next frame, whole or not at all. ``flag`` is the one that named the target. Where that is lines
    of another origin, these go among them, and the file stays open with those.

    What earlier runs wrote stays. A file that would grow beyond ``max_mb`` is renamed to the same
    name with ``.1`` first, in place of the last one so named. Each line says its ``origin``.

    Raises:
        ConfigError: the file cannot be written, holds something else than lines of ours, or belongs
            to another process that writes to it.
    """

    def __init__(
        self,
        target: str | JsonLines,
        flag: str = "--output",
        max_mb: float | None = None,
        origin: Origin = UNNAMED,
    ) -> None:
        self._origin = origin
        self._among = target if isinstance(target, JsonLines) else None
        if isinstance(target, JsonLines):
            return
        self._own = target != "-"
        self._path = real_file(Path(target)) if self._own else None
        self._max_bytes = max_mb * MB if max_mb is not None and self._own else None
        self._torn = False
        self._out: io.FileIO | None = None
        if self._path is None:
            sys.stdout.flush()
            # Not through sys.stdout: what it could not write it would try again for ever.
            self._out = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
            return
        try:
            self._out = _opened(self._path)
        except OSError as error:
            raise ConfigError(f"{flag} {target}: {error.strerror}") from error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool:
        """The lines of one frame."""
        self._write(
            [face_record(frame, index, face, self._origin) for index, face in enumerate(faces)]
        )
        return bool(faces)

    def happened(self, frame: Frame, events: Sequence[FaceEvent]) -> None:
        """The lines of what happened to faces."""
        self._write([event_record(frame, event, self._origin) for event in events])

    def add(self, record: dict[str, Any]) -> None:
        """The line of another record."""
        self._write([record])

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._among is None and self._out is not None:
            self._out.close()

    def _write(self, records: Sequence[dict[str, Any]]) -> None:
        if self._among is not None:
            self._among._write(records)
            return
        if not records:
            return
        data = "".join(json.dumps(record) + "\n" for record in records).encode()
        try:
            self._put(self._with_room_for(len(data)), data)
        except BrokenPipeError as error:
            if self._own:
                raise
            raise ReaderLeft(*error.args) from error

    def _with_room_for(self, size: int) -> io.FileIO:
        """The file; a new one where the present one is full."""
        if self._out is not None and self._max_bytes is not None and self._path is not None:
            found = os.fstat(self._out.fileno())
            full = found.st_size + size > self._max_bytes
            if full and found.st_size and stat.S_ISREG(found.st_mode):
                with suppress(FileNotFoundError):  # somebody moved it away meanwhile
                    os.replace(self._path, older(self._path))
                self._out.close()
                self._out = None
        if self._out is None:
            assert self._path is not None
            self._out = _opened(self._path)
        return self._out

    def _put(self, out: io.FileIO, data: bytes) -> None:
        left = memoryview(b"\n" + data if self._torn else data)
        size = os.fstat(out.fileno()).st_size
        try:
            while left:
                written = out.write(left)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, "its reader is too slow")
                left = left[written:]
        except OSError:
            # Half a line would spoil the next one.
            if self._own:
                with suppress(OSError):
                    os.ftruncate(out.fileno(), size)
            else:
                self._torn = self._torn or len(left) < len(data)
            raise
        self._torn = False


class Explanations(JsonLines):
    """One line per frame in which there was something to decide; ``decision`` gives the last."""

    def __init__(
        self,
        target: str,
        decision: Callable[[], Decision | None],
        max_mb: float | None = None,
        origin: Origin = UNNAMED,
    ) -> None:
        super().__init__(target, "--explain", max_mb, origin)
        self._decision = decision

    def happened(self, frame: Frame, events: Sequence[FaceEvent]) -> None:
        """Stands in the output's lines."""

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool:
        """The line of one frame."""
        if decision := self._decision():
            self._write([decision_record(frame, decision, self._origin)])
        return decision is not None


def older(path: Path) -> Path:
    """The name that a full file gets."""
    return path.with_name(path.name + ".1")


def check_lines(path: Path) -> None:
    """Return where lines can be added to the file. Changes nothing.

    Raises:
        OSError: it cannot be read and written, holds something else, or another process writes to
            it.
    """
    with io.FileIO(os.open(path, os.O_RDWR | os.O_CLOEXEC), "rb+") as file:
        _claim(file)


def _opened(path: Path) -> io.FileIO:
    """The file, to be added to and nobody else's; the end of a killed run's last line is off."""
    regular = is_file_or_absent(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT if regular else os.O_WRONLY
    file = io.FileIO(os.open(path, flags | os.O_CLOEXEC, 0o666), "rb+" if regular else "wb")
    try:
        if regular:
            _claim(file)
            _mend(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _claim(file: io.FileIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process writes to it; name another file") from None
    except OSError:
        pass  # a file system without locks
    start = os.pread(file.fileno(), len(_BEGIN), 0)
    if not _BEGIN.startswith(start):
        raise OSError(errno.EEXIST, "it holds something else than such lines; name another file")


def _mend(file: io.FileIO, path: Path) -> None:
    """End the last line, or take it off where it is no whole record."""
    start = size = os.fstat(file.fileno()).st_size
    tail = b""
    while start and b"\n" not in tail:
        start = max(0, start - _BLOCK_BYTES)
        tail = os.pread(file.fileno(), size - start, start)
    line = tail.rpartition(b"\n")[2]
    if not line:
        return
    try:
        json.loads(line)
    except ValueError:
        _log.warning("%s: its last line was cut short, and is taken off", path)
        os.ftruncate(file.fileno(), size - len(line))
    else:
        file.write(b"\n")
