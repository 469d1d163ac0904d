"""Standard input, output and error that are there, whoever started the process."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from splitfer.shared.errors import OutputError

_INTERRUPTED = 130


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
        _print_no_more()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: {error.strerror}") from error


def ended_in_words(name: str, main: Callable[[], int]) -> int:
    """The exit code of ``main``, the whole of a command ``name``, whose last line was printed; 130
    where its reader left or somebody thought better of it, 1 where no room is left for what it
    writes."""
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _print_no_more()
        return _INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _print_no_more()
        print(f"{name}: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _print_no_more() -> None:
    # What is still in the buffer would fail once more while Python shuts down.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
