"""The file that holds a running server's process id, and which processes are servers."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from splitfer.shared.errors import ConfigError
from splitfer.shared.regular_file import read_regular

PROCESSES = Path("/proc")
# A number and a line break.
_LONGEST_BYTES = 100
_SERVE = "serve"
_NAMES = ("cloud-server", "splitfer.cloud_server.cli", "cloud_server/cli.py")


def words_of_server(pid: int) -> list[str] | None:
    """The words after ``serve`` that process ``pid`` was started with; None where it is no server.

    Raises:
        OSError: there is no such process, or no way to ask.
    """
    text = (PROCESSES / str(pid) / "cmdline").read_bytes()
    words = [os.fsdecode(word) for word in text.split(b"\0")]
    at = words.index(_SERVE) if _SERVE in words else 0
    # cloud-server, or python -m (its module); in a container perhaps after an init's words.
    if not any(word.endswith(_NAMES) for word in words[:at]):
        return None
    return words[at + 1 : -1]  # a zero ends the last word too


def read_pid(file: Path) -> int:
    """The process id in ``file``.

    Raises:
        ConfigError: it cannot be read, or something else is in it.
    """
    try:
        return int(read_regular(file, _LONGEST_BYTES))
    except OSError as error:
        raise ConfigError(
            f"pid_file: cannot read {file}: {error.strerror}; does the server run?"
        ) from error
    except ValueError:
        raise ConfigError(f"pid_file: {file} holds no process id") from None


@contextlib.contextmanager
def pid_written(file: Path | None) -> Iterator[None]:
    """``file`` holds our process id meanwhile.

    Raises:
        ConfigError: it is a running server's, holds something else, or cannot be written.
    """
    if file is None:
        yield
        return
    if (other := _server_in(file)) is not None:
        raise ConfigError(
            f"pid_file: {file} is that of process {other}, a server that runs; stop it, or name "
            "another file"
        )
    try:
        _write(file, b"%d\n" % os.getpid())
    except OSError as error:
        raise ConfigError(f"pid_file: cannot write {file}: {error.strerror}") from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _write(file: Path, number: bytes) -> None:
    """In the place of another number, and of nothing else: the name may be a mistake, or a link
    that somebody else put there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o666), "rb+", buffering=0) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file but a device, a pipe or a socket")
        held = opened.read(_LONGEST_BYTES)
        if held.strip() and not held.strip().isdigit():
            raise OSError(errno.EEXIST, "it holds something else; name another file")
        opened.seek(0)
        opened.truncate()
        opened.write(number)


def _server_in(file: Path) -> int | None:
    """The running server whose file it is, but this process; None where there is none."""
    try:
        pid = read_pid(file)
        return pid if pid != os.getpid() and words_of_server(pid) is not None else None
    except (ConfigError, OSError):
        return None
