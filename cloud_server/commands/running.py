"""A running server on this machine, as its process tells of it: the command line it was given."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from splitfer.cloud_server.server.pid_file import PROCESSES, words_of_server
from splitfer.shared.errors import ConfigError


def serve_words(pid: int, prefix: str = "") -> list[str]:
    """The words after ``serve`` that process ``pid`` was started with. Its variables that begin
    with ``prefix`` and its folder become this process's, as far as that is allowed.

    Raises:
        ConfigError: there is no such process, or it is no server.
    """
    process = PROCESSES / str(pid)
    try:
        words = words_of_server(pid)
    except OSError as error:
        raise ConfigError(f"--pid: there is no process {pid} ({error.strerror})") from error
    if words is None:
        raise ConfigError(f"--pid: process {pid} is no 'cloud-server serve'")
    with contextlib.suppress(OSError):  # another user's: what it was started with must do
        if prefix:
            _take_variables(process, prefix)
        os.chdir(process / "cwd")
    return words


def _take_variables(process: Path, prefix: str) -> None:
    for line in (process / "environ").read_bytes().split(b"\0"):
        name, equals, value = os.fsdecode(line).partition("=")
        if equals and name.upper().startswith(prefix):
            os.environ[name] = value
