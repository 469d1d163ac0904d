"""A run's log: one line of JSON for each epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tqdm import tqdm


def append_row(log: Path, row: dict[str, Any]) -> None:
    """Add the row of an epoch to the file ``log``, and show it above the progress bar."""
    line = json.dumps(row)
    with log.open("a") as file:
        file.write(f"{line}\n")
    tqdm.write(line)
