"""How every benchmark ends: one result, as JSON or as text, or one readable line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splitfer.shared.errors import ConfigError, SourceError, SplitFerError
from training.data.datasets import DataError

OK, USAGE, SOURCE, WEIGHTS = 0, 2, 3, 4
Result = dict[str, Any]
# Not each system has both.
_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def finish(
    arguments: argparse.Namespace,
    report: Callable[[argparse.Namespace], Result],
    table: Callable[[Result], str],
) -> int:
    """Measure, print (``--json`` decides how), and give the exit code."""
    end_in_order()
    try:
        _spare_inputs(arguments)
        result = report(arguments)
    except ConfigError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return USAGE
    except (DataError, SourceError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return SOURCE
    except SplitFerError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return WEIGHTS
    print(json.dumps(result) if arguments.json else table(result))
    return OK


def end_in_order() -> None:
    """From now on SIGTERM, and SIGHUP where it is not ignored, end this process as an error does:
    what it started is ended first."""
    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda came, _: sys.exit(128 + came))


def _spare_inputs(arguments: argparse.Namespace) -> None:
    plot = getattr(arguments, "plot", None)
    for name in ("data", "votes", "weights", "against"):
        read = getattr(arguments, name, None)
        if plot and read and plot.resolve().is_relative_to(Path(read).resolve()):
            raise ConfigError(
                f"--plot {plot} lies in what --{name} {read} reads: name another file"
            )


def positive(text: str) -> int:
    """A whole number of at least 1, for ``argparse``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
