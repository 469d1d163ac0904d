"""The log's lines, as text for people or as JSON for machines, with the id of their request."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from cloud_server.request import current

_TEXT = "%(asctime)s %(levelname)s %(name)s:%(request)s %(message)s"


def configure_logs(level: str, form: Literal["text", "json"]) -> None:
    """Write lines of ``level`` and above to the error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Text(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # uvicorn narrates every step at this level.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # Pillow tells every EXIF tag: place, owner, caption.
    logging.getLogger("PIL").setLevel(logging.INFO)


class Text(logging.Formatter):
    """Lines for people; those of a request name its id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback where there is one."""
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
            "message": record.getMessage(),
        }
        if request := current():
            line["request_id"] = request.id
            if request.trace_id:
                line["trace_id"] = request.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
