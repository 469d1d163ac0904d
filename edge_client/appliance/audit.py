"""A log of what a person who is watched may ask for later: when, what for, by which settings, and
where to."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.sinks.records import rfc3339
from splitfer.shared.deadline import Clock
from splitfer.shared.regular_file import read_regular

MAX_BYTES = 5_000_000
"""A file that is larger is renamed to ``.1`` first, in place of the last one."""


# Of every line: what does not begin so is another's file.
_BEGIN = b'{"time": '


class AuditLog:
    """Adds one JSON line per event to ``path``, on disk before it returns. ``failed`` is
    called with an error message where one cannot be written, or the file holds something else; the
    run goes on."""

    def __init__(self, path: Path, failed: Callable[[str], None], wall: Clock = time.time) -> None:
        self._path, self._failed, self._wall = path, failed, wall

    def add(self, event: str, **facts: Any) -> None:
        """Add one event, with the process and the user it runs as."""
        record = {
            "time": rfc3339(self._wall()),
            "event": event,
            "pid": os.getpid(),
            "uid": os.getuid(),
            **facts,
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._opened() as file:
                descriptor = file.fileno()
                size = os.fstat(descriptor).st_size
                if size < len(_BEGIN):  # the beginning of a first line
                    os.ftruncate(descriptor, 0)
                    size = 0
                # A line that a kill or a full disk cut short costs itself alone.
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                line = (b"\n" if torn else b"") + json.dumps(record).encode() + b"\n"
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
        except OSError as error:
            self._failed(f"audit log {self._path}: {error.strerror or error}")

    def add_start(
        self, mark: str, config: EdgeConfig, kept_in: Sequence[str], **facts: Any
    ) -> None:
        """A run begins, by settings with this ``mark``: first that they are others than at the last
        start, where they are."""
        before = self.last("start")
        if before is not None and before.get("settings") != mark:
            self.add("settings_changed", before=before.get("settings"), settings=mark)
        webhook = config.webhook_address
        places = {
            "server": config.server,
            "mqtt": config.mqtt,
            "webhook": str(webhook) if webhook else None,
        }
        self.add(
            "start",
            **facts,
            settings=mark,
            privacy=config.privacy,
            blur_faces=config.blur_faces,
            sent_to={name: place for name, place in places.items() if place},
            kept_in=list(kept_in),
            keep_pictures_h=config.keep_pictures_h,
            shown_on=str(config.listen_address or "") or None,
        )

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest of such events; None where the log holds none."""
        for path in (self._path, self._older):
            with suppress(OSError):
                for line in reversed(read_regular(path, 2 * MAX_BYTES).splitlines()):
                    record = _record(line) if f'"{event}"'.encode() in line else {}
                    if record.get("event") == event:
                        return record
        return None

    @property
    def _older(self) -> Path:
        return self._path.with_name(self._path.name + ".1")

    def _opened(self) -> io.FileIO:
        file = _of_ours(self._path, os.O_CREAT)
        if os.fstat(file.fileno()).st_size <= MAX_BYTES:
            return file
        file.close()
        with suppress(FileNotFoundError):
            _of_ours(self._older, 0).close()
        os.replace(self._path, self._older)
        return _of_ours(self._path, os.O_CREAT)


def _of_ours(path: Path, flags: int) -> io.FileIO:
    """The file, to be added to.

    Raises:
        OSError: it cannot be written, or holds something else than such lines.
    """
    flags |= os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    file = io.FileIO(os.open(path, flags, 0o600), "rb+")
    try:
        if not _BEGIN.startswith(os.pread(file.fileno(), len(_BEGIN), 0)):
            raise OSError(errno.EEXIST, "it holds something else than such lines", str(path))
    except BaseException:
        file.close()
        raise
    return file


def _record(line: bytes) -> dict[str, Any]:
    """Empty where the line was cut short."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def settings_mark(printed: str) -> str:
    """What tells two states of the settings apart, without what they hold."""
    return hashlib.sha256(printed.encode()).hexdigest()[:16]
