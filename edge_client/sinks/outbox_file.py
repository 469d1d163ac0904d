"""The outbox's file: an SQLite database in WAL mode, and the SQL of it."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from splitfer.shared.errors import ConfigError
from splitfer.shared.whole_file import is_file_or_absent

ROW_BYTES = 64
"""What a row takes beside its words."""

RESERVE_BYTES = 1_000_000
"""What is held beside the database, so that a full disk lets it give up its oldest rows."""

_LOG_BYTES = 400_000
_MAGIC = b"SQLite format 3\x00"
# "SFob": that it is an outbox, so that nobody else's database is taken for one.
_APPLICATION_ID = 0x53466F62
_LOCKED_WAIT_S = 0.1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, boot TEXT NOT NULL, boot_s REAL NOT NULL,
    wall_s REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS readers (name TEXT PRIMARY KEY, done INTEGER NOT NULL);
"""
_DISK_TAKES_NOTHING = (errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT)


@dataclass(frozen=True)
class Waiting:
    """One answer: its place in the queue, the ``id`` that it keeps however often it is sent, and
    when it was written (``boot_s`` by the clock that no one sets, since the start ``boot`` of the
    machine)."""

    seq: int
    id: str
    boot: str
    boot_s: float
    wall_s: float
    body: bytes

    @property
    def size_bytes(self) -> int:
        """About how many bytes it takes on disk."""
        return len(self.body) + ROW_BYTES


class OutboxFile:
    """The rows on disk. One thread at a time. ``path`` may be ``:memory:``.

    Every method raises ``sqlite3.Error`` where the disk fails.

    Raises:
        ConfigError: it is another program's database.
        sqlite3.OperationalError: it cannot be opened or written.
        sqlite3.DatabaseError: it is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self._reserve = Path(f"{path}.reserve") if path != ":memory:" else None
        self._db = sqlite3.connect(
            path, timeout=_LOCKED_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            if self._number("PRAGMA page_count") == 0:
                # So that what is removed on a full disk gives its room to others.
                self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # A run that is killed loses nothing by this, a machine without power at most its last
            # moments; and a memory card is spared a wait for each answer.
            self._db.execute("PRAGMA journal_mode = WAL").fetchall()
            self._db.execute("PRAGMA synchronous = NORMAL")
            # The log fits into the reserve: a full disk has it emptied into the database.
            self._db.execute("PRAGMA wal_autocheckpoint = 100").fetchall()
            self._db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchall()
            if self._number("PRAGMA application_id") != _APPLICATION_ID:
                if self._number("SELECT count(*) FROM sqlite_master"):
                    raise ConfigError(
                        f"outbox {path}: it is another program's database; name another file"
                    )
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._db.executescript(_SCHEMA)
            if (said := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(said)
        except BaseException:
            self._db.close()
            raise
        self.hold_reserve()

    def readers(self) -> dict[str, int]:
        """The last answer that each reader has had."""
        return dict(self._db.execute("SELECT name, done FROM readers"))

    def first(self) -> int:
        """The oldest answer's number; 0 where there is none."""
        return self._number("SELECT coalesce(min(seq), 0) FROM answers")

    def last(self) -> int:
        """The newest answer's number; 0 where there is none."""
        return self._number("SELECT coalesce(max(seq), 0) FROM answers")

    def rows(self, after: int, limit: int) -> list[Waiting]:
        """The oldest after number ``after``."""
        found = self._db.execute(
            "SELECT seq, id, boot, boot_s, wall_s, body FROM answers WHERE seq > ? "
            "ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Waiting(*row) for row in found]

    def bytes_until(self, last: int = 2**62) -> int:
        """What the answers up to ``last`` take."""
        return self._number(
            f"SELECT coalesce(sum(length(body) + {ROW_BYTES}), 0) FROM answers WHERE seq <= {last}"
        )

    def last_of_first(self, least_bytes: int) -> int:
        """The last of the oldest answers that together take ``least_bytes``; 0 for no bytes."""
        last, taken = 0, 0
        for seq, size in self._db.execute("SELECT seq, length(body) FROM answers ORDER BY seq"):
            if taken >= least_bytes:
                break
            last, taken = seq, taken + size + ROW_BYTES
        return last

    def save(self, rows: Sequence[Waiting], readers: Mapping[str, int], drop: int) -> None:
        """Add ``rows``, note what the readers had, and remove up to ``drop``: all of it or none."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                [(row.seq, row.id, row.boot, row.boot_s, row.wall_s, row.body) for row in rows],
            )
            self._db.executemany("INSERT OR REPLACE INTO readers VALUES (?, ?)", readers.items())
            self._db.execute("DELETE FROM answers WHERE seq <= ?", (drop,))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def empty_log(self) -> None:
        """Where the disk is full: give up the reserve, and the log's room."""
        if self._reserve is not None:
            self._reserve.unlink(missing_ok=True)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def remove(self, last: int) -> None:
        """Remove up to ``last``, and give the disk the room."""
        self._db.execute("DELETE FROM answers WHERE seq <= ?", (last,))
        self._db.execute("PRAGMA incremental_vacuum").fetchall()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def hold_reserve(self) -> bool:
        """Whether there is room that can be given up when the disk is full."""
        if self._reserve is None or self._reserve.exists():
            return True
        try:
            if shutil.disk_usage(self._reserve.parent).free < RESERVE_BYTES + _LOG_BYTES:
                return False
            with self._reserve.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            with suppress(OSError):
                self._reserve.unlink(missing_ok=True)
            return False
        return True

    def close(self) -> None:
        """Close the database; what fails then was safe already."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _number(self, statement: str) -> int:
        number: int = self._db.execute(statement).fetchone()[0]
        return number


def claim(path: Path) -> io.FileIO | None:
    """Held while the outbox is this run's; None where the disk takes nothing.

    Raises:
        ConfigError: another run has it, it is something else, or may not be written.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.FileIO(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb+")
    except OSError as error:
        if error.errno in _DISK_TAKES_NOTHING:
            return None
        raise ConfigError(f"outbox {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Before SQLite opens it: its locks would go when another descriptor is closed.
        if path.exists():
            if not is_file_or_absent(path):  # a pipe would be waited for
                raise ConfigError(f"outbox {path}: it is no file; name another one")
            with path.open("rb") as there:
                start = there.read(len(_MAGIC))
            if start and start != _MAGIC:
                raise ConfigError(f"outbox {path}: it holds something else; name another file")
        else:
            with suppress(OSError):  # SQLite says what is wrong
                # What people showed is for this user alone; SQLite goes by the umask.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except BlockingIOError:
        file.close()
        raise ConfigError(f"outbox {path}: another run uses it; name another file") from None
    except OSError as error:
        file.close()
        raise ConfigError(f"outbox {path}: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return file


def is_disk_full(error: sqlite3.Error) -> bool:
    """Whether the error means that the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def takes_nothing(error: sqlite3.OperationalError) -> bool:
    """Whether it is the disk's fault and not the name's."""
    return error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR"))
