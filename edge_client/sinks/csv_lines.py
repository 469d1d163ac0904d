"""A table of answers, one row a face, for whoever opens it in a spreadsheet."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from splitfer.edge_client.sinks.records import Origin, face_record
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LABELS
from splitfer.shared.log_lines import LONGEST_LINE
from splitfer.shared.peer_words import peer_words

_PLAIN = (
    "time", "device_id", "source", "source_name", "frame", "time_s", "face", "track", "label",
    "confidence", "uncertain", "path", "reason", "sent_bytes", "rate", "model", "quality",
)  # fmt: skip
COLUMNS = (*_PLAIN, "smoothed_label", "x", "y", "w", "h", "latency_ms", *LABELS)
"""In the first row; the rest are as in docs/device/records.md."""

_FORMULA = ("=", "+", "-", "@")


class CsvLines:
    """Adds rows to ``path``; each frame's are out before the next frame, whole or not at all.

    Raises:
        ConfigError: it cannot be written, holds something else, or another process writes to it.
    """

    def __init__(self, path: Path | str, origin: Origin) -> None:
        self._origin = origin
        try:
            self._file = _opened(Path(path), os.O_CREAT)
            size = os.fstat(self._file.fileno()).st_size
            if size == 0:
                self._put(_row(COLUMNS))
            elif os.pread(self._file.fileno(), 1, size - 1) != b"\n":
                self._take_off_the_torn_row(size)
        except OSError as error:
            raise ConfigError(f"--csv {path}: {error.strerror}") from error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> bool:
        """The rows of one frame."""
        rows = []
        for index, face in enumerate(faces):
            record = face_record(frame, index, face, self._origin)
            smoothed = face.smoothed.label if face.smoothed else None
            values = [record[name] for name in _PLAIN]
            values += [smoothed, *record["box"], record["latency_ms"]["total"]]
            rows.append(_row([*values, *record["probabilities"].values()]))
        if rows:
            self._put(b"".join(rows))
        return bool(rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, data: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):  # half a row would spoil the next one
                os.ftruncate(self._file.fileno(), size)
            raise

    def _take_off_the_torn_row(self, size: int) -> None:
        """What a killed run left of its last row, which is shorter than a block."""
        start = max(0, size - (1 << 16))
        tail = os.pread(self._file.fileno(), size - start, start)
        os.ftruncate(self._file.fileno(), start + tail.rfind(b"\n") + 1)


def check_table(path: Path) -> None:
    """Return where rows can be added to the file. Changes nothing.

    Raises:
        OSError: it cannot be written, holds something else, or another process writes to it.
    """
    _opened(path, 0).close()


def _opened(path: Path, flags: int) -> io.FileIO:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)
    file = io.FileIO(descriptor, "rb+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        head = _row(COLUMNS)
        start = os.pread(descriptor, len(head), 0)
        if start and start != head:
            raise OSError(errno.EEXIST, "it holds something else than such rows; name another file")
    except BlockingIOError:
        file.close()
        raise OSError(errno.EBUSY, "another process writes to it; name another file") from None
    except BaseException:
        file.close()
        raise
    return file


def _row(values: Sequence[object]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_plain(value) for value in values])
    return out.getvalue().encode()


def _plain(value: object) -> object:
    """A name that a spreadsheet would take for a formula is marked as text, and a line break in it
    written as its escape: a row is a line."""
    if not isinstance(value, str):
        return value
    line = peer_words(value, longest=LONGEST_LINE)
    return f"'{line}" if line.startswith(_FORMULA) else line
