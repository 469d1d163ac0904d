"""Where figures go: known to be writable before anything is measured, and written whole."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitfer.shared.whole_file import write_whole

if TYPE_CHECKING:  # what measures need not draw
    from matplotlib.figure import Figure

ENDINGS = (".png", ".jpg", ".svg", ".pdf")


def figure_path(text: str) -> Path:
    """The type of a flag that names a figure. A figure that is there is replaced.

    Raises:
        ArgumentTypeError: no format has that ending, or there is no such folder.
    """
    path = Path(text)
    if path.suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(
            f"{text}: the ending says the format, and is one of {', '.join(ENDINGS)}"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: is a folder, or in a folder that is not there")
    return path


def save_figure(figure: Figure, path: Path, dpi: int, reproducible: bool = False) -> None:
    """Write it, whole or not at all. ``reproducible``: without a date or version inside, so that
    the same figure gives the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    data = io.BytesIO()
    extra: dict[str, Any] = {"metadata": {"Software": None}} if reproducible else {}
    figure.savefig(data, format=path.suffix[1:].lower(), dpi=dpi, **extra)
    write_whole(path, data.getvalue())
