"""A file that grows by whole pieces, for writers that seek in it."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from splitfer.shared.whole_file import open_draft, publish


class GrowingFile:
    """A binary file for PyAV. What is written waits in memory until ``commit``.

    Nothing stands under the name before the first ``commit``. When one fails, what was committed
    before it is left as it was, and the file takes nothing more.
    """

    def __init__(self, path: Path, replace: bool) -> None:
        self._path = Path(os.path.realpath(path))
        self._replace = replace
        self._descriptor: int | None = None
        self._pieces: list[tuple[int, bytearray]] = []
        self._at = self._end = self._committed = 0
        self._over = False

    def write(self, data: bytes) -> int:
        """Take bytes at the place where it stands; gives how many."""
        if not self._over:
            if self._pieces and self._at == self._pieces[-1][0] + len(self._pieces[-1][1]):
                self._pieces[-1][1].extend(data)
            else:
                self._pieces.append((self._at, bytearray(data)))
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; gives the new one."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    @property
    def size(self) -> int:
        """Bytes so far, those that wait among them."""
        return self._end

    def commit(self) -> None:
        """Put on the disk what waits: from now on the file is that.

        Raises:
            OSError: the disk is full, say.
        """
        if self._over or not self._pieces:
            return
        draft: Path | None = None
        try:
            if self._descriptor is None:
                self._descriptor, draft = open_draft(self._path)
            for offset, piece in self._pieces:
                _write_at(self._descriptor, piece, offset)
            if draft is not None:
                publish(draft, self._path, self._replace)
        except BaseException:
            self._over = True
            with suppress(OSError):
                if draft is not None:
                    draft.unlink()
                elif self._descriptor is not None:
                    os.ftruncate(self._descriptor, self._committed)
            raise
        finally:
            self._pieces.clear()
        self._committed = self._end

    def close(self) -> None:
        """Take nothing more; what waits is lost. A second time does nothing."""
        self._over = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_at(descriptor: int, data: bytearray, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left, offset = left[written:], offset + written
