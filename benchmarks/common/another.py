"""Another benchmark as a process, and its end with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

# A benchmark that is told to end ends its servers first.
_PATIENCE_S = 20.0


def run(module: str, *arguments: str) -> str:
    """What ``python -m module`` prints. Where this is left early, whatever the reason, the module
    is told to end, and what is left of it and of what it started is killed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    # A group of its own, so that its end can be that of all.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    return printed


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
