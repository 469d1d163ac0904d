"""What a command says to a person, and the code it ends with."""

from __future__ import annotations

import sys
from contextlib import suppress

from splitfer.shared.log_lines import plain_line

OK, LOST, USAGE, SOURCE, WEIGHTS, INTERRUPTED = 0, 1, 2, 3, 4, 130


def tell(line: str) -> None:
    """A line on standard error, in which names of files and others' words are made fit for it."""
    show(plain_line(line))


def show(text: str) -> None:
    """A terminal that was closed meanwhile is no reason to fail."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def no_face(searched_px: int) -> str:
    """What may be done where nobody is found."""
    return f"no face found (searched at {searched_px} px: --search-side; ready-cut faces: --crops)"
