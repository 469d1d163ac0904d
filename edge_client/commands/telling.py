"""What a command says to a person, and the code it ends with."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from splitfer.shared.detectors import DetectorName
from splitfer.shared.log_lines import plain_line

if TYPE_CHECKING:
    from splitfer.edge_client.config import EdgeConfig

OK, LOST, USAGE, SOURCE, WEIGHTS, INTERRUPTED = 0, 1, 2, 3, 4, 130


def tell(line: str) -> None:
    """A line on standard error, in which names of files and others' words are made fit for it."""
    show(plain_line(line))


def show(text: str) -> None:
    """A terminal that was closed meanwhile is no reason to fail."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def no_face(config: EdgeConfig) -> str:
    """What may be done where nobody is found."""
    dlib = config.detector is DetectorName.DLIB
    other = "; turned or small faces: --detector yunet" if dlib else ""
    return (
        f"no face found by {config.detector.value} (searched at {config.search_side_px} px: "
        f"--search-side{other}; ready-cut faces: --crops)"
    )
