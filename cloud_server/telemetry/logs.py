"""The log's lines, as text for people or as JSON for machines, with the id of their request."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from splitfer.cloud_server.telemetry.error_output import error_output, lines_of_others
from splitfer.cloud_server.telemetry.request import current
from splitfer.shared.log_lines import LONGEST_LINE, PlainLines

_TEXT = "%(asctime)s %(levelname)s %(name)s:%(request)s %(message)s"
_OTHERS = "stderr"


@contextmanager
def log_handler(form: Literal["text", "json"]) -> Iterator[logging.Handler]:
    """A handler that writes to the error output. With JSON, whatever else is written there while
    it is open (libraries in C, other processes, warnings, tracebacks) becomes a line of the logger
    ``stderr``, so that nothing but JSON stands there."""
    stream = error_output() if form == "json" else None
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Text(_TEXT))
    if stream is None:
        yield handler
        return
    with lines_of_others(lambda line: handler.handle(_of_others(line))):
        yield handler


def configure_logs(level: str, handler: logging.Handler) -> None:
    """Write lines of ``level`` and above to ``handler``."""
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # uvicorn narrates every step at this level.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # Pillow tells every EXIF tag: place, owner, caption.
    logging.getLogger("PIL").setLevel(logging.INFO)


def _of_others(line: str) -> logging.LogRecord:
    return logging.LogRecord(_OTHERS, logging.WARNING, "", 0, line, None, None)


class Text(PlainLines):
    """Lines for people; those of a request name its id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and an indented traceback where there is one."""
        request = current()
        record.request = f" [{request.id}]" if request else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``; ``request_id``
    and ``trace_id`` where there are such; ``exception`` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in the message."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_LINE],
        }
        if request := current():
            line["request_id"] = request.id
            if request.trace_id:
                line["trace_id"] = request.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
