"""Lines for a log or a terminal, in which nobody else's words can pass for ours.

Names of files, and what a server, a camera or a caller says, stand in log lines and errors. A line
break in them would begin a line that looks like the program's own, and an escape sequence would do
to a terminal whatever it likes.
"""

from __future__ import annotations

import logging
import traceback

from splitfer.shared.peer_words import peer_words

LONGEST_LINE = 4000
# Behind it only repeats itself; a chain of errors may be as long as whoever caused it likes.
_MOST_LINES = 400
_INDENT = "  "


def plain_line(text: object) -> str:
    """``str(text)`` on one line of at most ``LONGEST_LINE`` characters; what does not print is
    written as its escape."""
    return peer_words(str(text).strip(), longest=LONGEST_LINE)


def traceback_lines(error: BaseException) -> str:
    """The traceback of ``error``, indented, so that no line of it passes for one of the log."""
    text = "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(_INDENT + _kept(line) for line in text.splitlines()[-_MOST_LINES:])


def _kept(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))] + plain_line(line)


class PlainLines(logging.Formatter):
    """Formats a record as one line, with an indented traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; ``exc_text``, which another handler's formatter may have left, is not used."""
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        line = plain_line(self.formatMessage(record))
        error = record.exc_info[1] if record.exc_info else None
        return line if error is None else f"{line}\n{traceback_lines(error)}"
