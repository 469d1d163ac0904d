"""Manifests whose figures are others, for tests of what follows from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from splitfer.shared.weights import Manifest


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let ``change`` alter what the manifest of ``folder`` says, of whichever schema it is, in
    fields of now."""
    file = folder / "manifest.json"
    said = Manifest.model_validate_json(file.read_bytes()).model_dump(mode="json")
    change(said)
    file.write_text(json.dumps(said))


def set_figures(answers: dict[str, Any], **figures: float) -> None:
    """Say of each label set in ``answers`` that ``accuracy`` or ``log_loss`` on PublicTest is so
    much."""
    for measured in answers.values():
        for name, value in figures.items():
            measured[name] = {"PublicTest": value}
