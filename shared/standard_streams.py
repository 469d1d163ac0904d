"""Standard input, output and error that are there, whoever started the process."""

from __future__ import annotations

import os
import sys

from splitfer.shared.errors import OutputError


def open_standard_streams() -> frozenset[str]:
    """Give each of the three that is closed ``/dev/null``; gives the names of those, as in ``sys``.

    Else the next file that is opened takes its number, and whatever is printed goes into it; and
    Python, which has no ``sys.stderr`` then, prints errors among the answers. To be called before
    anything is opened.
    """
    closed = set()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "r" if number == 0 else "w"
        try:
            os.fstat(number)
        except OSError:
            closed.add(name)
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    return frozenset(closed)


def put(line: str) -> None:
    """Print a line on standard output; it has been written when this returns.

    Raises:
        BrokenPipeError: its reader left. Nothing more can be printed, and is left out in silence.
        OutputError: it cannot be written (a full disk, say); likewise.
    """
    try:
        print(line, flush=True)
    except OSError as error:
        # What is still in the buffer would fail once more while Python shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: {error.strerror}") from error
