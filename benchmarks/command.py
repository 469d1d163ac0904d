"""How every benchmark ends: one result, as JSON or as text, or one readable line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from shared.errors import SourceError, SplitFerError
from training.datasets import DataError

OK, SOURCE, WEIGHTS = 0, 3, 4
Result = dict[str, Any]


def finish(
    arguments: argparse.Namespace,
    report: Callable[[argparse.Namespace], Result],
    table: Callable[[Result], str],
) -> int:
    """Measure, print (``--json`` decides how), and give the exit code."""
    try:
        result = report(arguments)
    except (DataError, SourceError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return SOURCE
    except SplitFerError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return WEIGHTS
    print(json.dumps(result) if arguments.json else table(result))
    return OK
