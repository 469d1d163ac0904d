"""Files that are there whole or not at all, whenever the process or the machine ends."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, replace: bool = True) -> None:
    """Let ``path`` hold ``data``: at any moment it holds what it held before, or all of it.

    Links are followed. A device or a pipe is written to, never replaced. Without ``replace`` a file
    that holds anything stays as it is.

    Raises:
        OSError: it cannot be written, or (``FileExistsError``) is not to be replaced.
    """
    real = real_file(path)
    if not is_file_or_absent(real):
        with real.open("wb") as device:
            device.write(data)
        return
    descriptor, draft = open_draft(real)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        publish(draft, real, replace)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def real_file(path: Path) -> Path:
    """The file itself, links followed; a device or a pipe by the name it was given, since what
    ``/dev/stdout`` leads to may have none."""
    return Path(os.path.realpath(path)) if is_file_or_absent(path) else path


def open_draft(path: Path) -> tuple[int, Path]:
    """A new empty file beside ``path``, hidden, with its permissions where it exists: the
    descriptor to write to, and the name.

    Raises:
        OSError: the folder is not there, or cannot be written.
    """
    draft = path.with_name(f".{path.name[:30]}.{secrets.token_hex(4)}.part")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
    return descriptor, draft


def publish(draft: Path, path: Path, replace: bool = True) -> None:
    """Give a draft its name. Without ``replace`` a file that holds anything keeps the name.

    Raises:
        OSError: it cannot be done; the draft is still there.
    """
    if not replace and holds_something(path):
        raise FileExistsError(errno.EEXIST, "it exists by now", str(path))
    os.replace(draft, path)


def holds_something(path: Path) -> bool:
    """Whether a file is there that is not empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def is_file_or_absent(path: Path) -> bool:
    """Whether it is no device, pipe or folder."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True
