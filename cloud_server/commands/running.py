"""A running server on this machine, as its process tells of it: the command line it was given."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from splitfer.shared.errors import ConfigError

_PROCESSES = Path("/proc")
_SERVE = "serve"
_NAMES = ("cloud-server", "splitfer.cloud_server.cli", "cloud_server/cli.py")


def serve_words(pid: int, prefix: str = "") -> list[str]:
    """The words after ``serve`` that process ``pid`` was started with. Its variables that begin
    with ``prefix`` and its folder become this process's, as far as that is allowed.

    Raises:
        ConfigError: there is no such process, or it is no server.
    """
    process = _PROCESSES / str(pid)
    try:
        words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
    except OSError as error:
        raise ConfigError(f"--pid: there is no process {pid} ({error.strerror})") from error
    at = words.index(_SERVE) if _SERVE in words else 0
    # cloud-server, or python -m (its module); in a container perhaps after an init's words.
    if not any(word.endswith(_NAMES) for word in words[:at]):
        raise ConfigError(f"--pid: process {pid} is no 'cloud-server serve'")
    with contextlib.suppress(OSError):  # another user's: what it was started with must do
        if prefix:
            _take_variables(process, prefix)
        os.chdir(process / "cwd")
    return words[at + 1 : -1]  # a zero ends the last word too


def _take_variables(process: Path, prefix: str) -> None:
    for line in (process / "environ").read_bytes().split(b"\0"):
        name, equals, value = os.fsdecode(line).partition("=")
        if equals and name.upper().startswith(prefix):
            os.environ[name] = value
