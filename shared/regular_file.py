"""Files that somebody else may have put there, read without surprises.

A pipe in the place of a file would be waited on for ever, a device such as ``/dev/zero`` read for
ever, and a file of many gigabytes taken into memory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MIB = 2**20
_PIECE_BYTES = 64 * 2**10


def read_regular(path: Path, most_bytes: int) -> bytes:
    """What a regular file holds; links are followed.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than ``most_bytes``; its
            ``strerror`` says which.
    """
    # Without O_NONBLOCK opening a pipe that nobody writes to never ends.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no file but a device, a pipe or a socket", str(path))
        data = _read(file, found.st_size, most_bytes) if found.st_size <= most_bytes else None
    if data is None or len(data) > most_bytes:
        what = f"it holds more than {most_bytes / MIB:g} MiB"
        raise OSError(errno.EFBIG, what, str(path))
    return data


def _read(file: BinaryIO, size: int, most_bytes: int) -> bytes:
    """To the end, or one byte more than may be. A bounded read makes room for its bound: so it asks
    for what is there, and then for more, since of /proc the size is 0, and any file may grow."""
    pieces = [file.read(size)]
    got = len(pieces[0])
    while got <= most_bytes and (piece := file.read(min(_PIECE_BYTES, most_bytes + 1 - got))):
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces) if len(pieces) > 1 else pieces[0]
