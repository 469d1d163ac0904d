"""Where a caller may have weights loaded from: the server opens no other path for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from splitfer.shared.errors import RefusedChange, WeightsError


def folder_under(roots: Sequence[Path], asked: str) -> Path:
    """The folder that ``asked`` names: absolute, or relative to one of ``roots``.

    Links are followed before the comparison. Nothing is said of paths outside, not even whether
    they exist.

    Raises:
        RefusedChange: there are no roots.
        WeightsError: it lies outside all of them, or is no folder.
    """
    if not roots:
        raise RefusedChange("no folder may be loaded from; set weights_root")
    for root in roots:
        try:
            real_root = root.resolve()
            folder = (real_root / asked).resolve()
            if folder.is_relative_to(real_root) and folder.is_dir():
                return folder
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, a loop of links
            continue
    within = ", ".join(map(str, roots))
    raise WeightsError(f"no folder {asked[:200]!r} under {within}")
