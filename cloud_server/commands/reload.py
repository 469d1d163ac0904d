"""``cloud-server reload``: let a running server read its settings again."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from splitfer.cloud_server.commands.running import serve_words
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.server.pid_file import read_pid
from splitfer.shared.errors import ConfigError
from splitfer.shared.standard_streams import put


def add_reload_command(commands: Any) -> None:
    """Add ``reload`` to a parser's sub-commands."""
    reload = commands.add_parser(
        "reload",
        help="let a running server read tokens, limits and certificates again",
        description="Let the server on this machine read its tokens, limits of callers and "
        "certificates again (SIGHUP). It is the process that --pid names, else the one in the "
        "pid_file of the settings. The server's log says how it went.",
    )
    reload.add_argument("--config", type=Path, metavar="FILE", help="the server's settings")
    reload.add_argument(
        "--pid", type=int, metavar="N", help="of the server; in a container it is 1"
    )
    reload.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run_reload(pid: int) -> None:
    """Tell the server that is process ``pid``.

    Raises:
        ConfigError: there is none, or it is another user's.
    """
    serve_words(pid)
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise ConfigError(f"process {pid} cannot be sent SIGHUP: {error.strerror}") from error
    put(f"process {pid} reads its settings again; its log says how it went")


def pid_in_file(config: CloudConfig) -> int:
    """The process id in the pid_file of ``config``.

    Raises:
        ConfigError: there is no such setting or file, or something else is in it.
    """
    if config.pid_file is None:
        raise ConfigError("name the server's process: with --pid, or set pid_file for the server")
    return read_pid(config.pid_file)
