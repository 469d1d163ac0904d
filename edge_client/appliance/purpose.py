"""What a camera watches people for: it is stated before a run on a live one begins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.edge_client.source_name import PICAMERA, is_camera_number
from splitfer.edge_client.sources.address import shown
from splitfer.shared.errors import ConfigError
from splitfer.shared.whole_file import write_whole

LONGEST = 300
_FILE = "purposes.json"


def is_live(spec: str) -> bool:
    """Whether the source is a camera or a stream as far as its name says; what an http address
    is shows when it is opened."""
    own = PICAMERA.fullmatch(spec) is not None
    return own or is_camera_number(spec) or spec.startswith(("/dev/video", "rtsp://", "rtsps://"))


def stated_purpose(
    purpose: str | None,
    source: str,
    ask: Callable[[str], str] = input,
    terminal: TextIO | None = None,
    folder: Path | None = None,
) -> str:
    """The purpose of watching ``source``: as set, or as it was told before, or as a person at the
    terminal tells it now, which is remembered.

    Raises:
        ConfigError: nobody has stated one.
    """
    if purpose is not None:
        return purpose
    file = (folder or state_folder()) / _FILE
    told = _told(file)
    source = shown(source) if "://" in source else source  # without its password
    if source in told:
        return told[source]
    if not (terminal or sys.stdin).isatty():
        raise ConfigError(
            "purpose: say what this camera watches people for before it starts, such as "
            "'purpose: welcome visitors at the front door' in the config file, or --purpose"
        )
    try:
        answer = ask(f"What does {source} watch people for? It is logged and shown: ")
    except EOFError:
        answer = ""
    answer = answer.strip()
    if not 0 < len(answer) <= LONGEST or not answer.isprintable():
        raise ConfigError(f"purpose: say it in 1 to {LONGEST} characters on one line")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(told | {source: answer}, indent=2).encode() + b"\n")
    except OSError as error:
        print(f"edge-client: it cannot be remembered in {file}: {error.strerror}", file=sys.stderr)
    return answer


def _told(file: Path) -> dict[str, str]:
    try:
        told = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {str(source): str(one) for source, one in told.items()}
