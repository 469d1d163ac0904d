"""A log of what a person who is watched may ask for later: when, what for, by which settings, and
where to."""

from __future__ import annotations

import errno
import hashlib
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

MAX_BYTES = 5_000_000
"""A file that is larger is renamed to ``.1`` first, in place of the last one."""


class AuditLog:
    """Adds one JSON line per event to ``path``, on disk before it returns. ``failed`` is
    called with an error message where one cannot be written; the run goes on."""

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
            self._turn_over()
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "rb+", buffering=0) as file:
                size = os.fstat(descriptor).st_size
                # A line that a kill or a full disk cut short costs itself alone.
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                line = (b"\n" if torn else b"") + json.dumps(record).encode() + b"\n"
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
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
                for line in reversed(path.read_bytes().splitlines()):
                    record = _record(line) if f'"{event}"'.encode() in line else {}
                    if record.get("event") == event:
                        return record
        return None

    @property
    def _older(self) -> Path:
        return self._path.with_name(self._path.name + ".1")

    def _turn_over(self) -> None:
        with suppress(FileNotFoundError):
            if self._path.stat().st_size > MAX_BYTES:
                os.replace(self._path, self._older)


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
