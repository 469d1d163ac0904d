"""The error output as a pipe of ours: what anybody writes there is read line by line."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_STDERR = 2
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The end cannot be waited for: processes that were started meanwhile may hold the pipe open.
_END = "\0end\n"


def error_output() -> TextIO | None:
    """A stream of its own to where the error output leads now; None where it was closed. It stays
    open until the process ends, since log lines may come until then."""
    try:
        number = os.dup(_STDERR)
    except OSError:
        return None
    return open(number, "w", encoding="utf-8", buffering=1, closefd=False)


@contextmanager
def lines_of_others(tell: Callable[[str], object]) -> Iterator[None]:
    """While it is open, each line that this process, or one that it started, writes to the error
    output is given to ``tell`` on a thread, without its colours, and goes nowhere else.

    What is written in the moment of a crash may be lost.
    """
    before = os.dup(_STDERR)
    reading, writing = os.pipe()

    def read() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line == _END:
                    return
                if text := _COLOUR.sub("", line).strip():
                    tell(text)

    sys.stderr.flush()
    os.dup2(writing, _STDERR)
    reader = threading.Thread(target=read, name="stderr", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, _STDERR)
        os.close(before)
        os.write(writing, f"\n{_END}".encode())
        os.close(writing)
        reader.join()
