"""Answers that wait on disk for whoever is away, and go out once and in order.

    put -> SQLite (WAL) -> waiting(reader) -> sent -> done(reader)

Each reader has its own place in one queue. A kill at any moment loses at most the answer that was
being written; what was sent, and not yet noted as done, is sent again with the same id.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from splitfer.edge_client.sinks.outbox_file import (
    OutboxFile,
    Waiting,
    claim,
    is_disk_full,
    takes_nothing,
)
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import ConfigError

MB = 1_000_000
# What waits in memory while the disk takes nothing.
MEMORY_BYTES = 2 * MB
# How long a disk that failed is left alone.
_RETRY_S = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)


class Outbox:
    """A queue on disk for ``readers``. Safe to use from several threads.

    It holds at most ``max_bytes``, and nothing older than ``max_age_s``: the oldest go first, and
    are counted by reader in ``shed``. Of each reader ``put = sent + refused + shed + waiting``, as
    far as all of it was in this run. While the disk is full, read-only or locked, what comes waits
    in memory (``MEMORY_BYTES``), ``fault`` says why, and it is written as soon as that is over.

    ``clock`` counts since the machine's start, ``wall`` since 1970.

    Raises:
        ConfigError: the file is something else, cannot be made, or is used by another process.
    """

    def __init__(
        self,
        path: Path,
        readers: Sequence[str],
        max_bytes: int = 50 * MB,
        max_age_s: float = 72 * 3600,
        clock: Clock = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        wall: Clock = time.time,
    ) -> None:
        self.path = path
        self.fault: str | None = None
        self.put_count = 0
        self.sent: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._clock, self._wall = clock, wall
        self._lock = threading.RLock()
        self._run, self._boot = secrets.token_hex(4), _boot_id()
        self._memory: deque[Waiting] = deque()
        self._memory_bytes = 0
        self._retry_at_s = 0.0
        self._lasting_fault: str | None = None
        self._unsaved, self._closed = True, False
        self._claim = claim(path)
        try:
            self._file = self._opened()
        except BaseException:
            if self._claim is not None:
                self._claim.close()
            raise
        done = self._file.readers()
        self._disk_bytes = self._file.bytes_until()
        self._last = max([self._file.last(), *done.values()])
        # A new reader gets what comes from now on; one that had no part in the runs before, what is
        # left of them.
        gone = (self._file.first() or self._last + 1) - 1
        self._done = {name: max(done.get(name, self._last), gone) for name in readers}
        self._settle(force=True)

    # -- in ------------------------------------------------------------------------------------

    def put(self, bodies: Sequence[bytes]) -> None:
        """Keep these, the oldest first: on disk when it returns, unless ``fault`` says why not."""
        with self._lock:
            now_s, wall_s = self._clock(), self._wall()
            for body in bodies:
                self._last += 1
                name = f"{self._run}-{self._last}"
                one = Waiting(self._last, name, self._boot, now_s, wall_s, body)
                self._memory.append(one)
                self._memory_bytes += one.size_bytes
            self.put_count += len(bodies)
            self._settle()

    # -- out -----------------------------------------------------------------------------------

    def waiting(self, reader: str, limit: int) -> list[Waiting]:
        """The oldest that ``reader`` has not had, at most ``limit``. They stay until ``done``."""
        with self._lock:
            self._settle()
            try:
                found = self._file.rows(self._done[reader], limit)
            except sqlite3.Error as error:
                self._failed(error)
                return []
            newest = found[-1].seq if found else self._done[reader]
            found += [one for one in self._memory if one.seq > newest][: limit - len(found)]
            return found

    def done(self, reader: str, seq: int, refused: bool = False) -> None:
        """``reader`` has had everything up to ``seq``; ``refused``: and wants none of it."""
        with self._lock:
            # Numbers are given without a gap.
            count = seq - self._done[reader]
            if count > 0:
                (self.refused if refused else self.sent)[reader] += count
                self._done[reader] = seq
                self._unsaved = True
                self._settle()

    def count(self, reader: str) -> int:
        """How many wait for ``reader``."""
        with self._lock:
            return self._last - self._done[reader]

    def age_s(self, one: Waiting) -> float:
        """How long it has waited; since this start of the machine whoever sets its clock."""
        if one.boot == self._boot:
            return max(0.0, self._clock() - one.boot_s)
        return max(0.0, self._wall() - one.wall_s)

    def report(self) -> dict[str, Any]:
        """For health and summary: see docs/device/records.md."""
        with self._lock:
            return {
                "fault": self.fault,
                "bytes": self._disk_bytes + self._memory_bytes,
                "in_memory": len(self._memory),
                "put": self.put_count,
                "readers": {
                    name: {
                        "waiting": self.count(name),
                        "sent": self.sent[name],
                        "refused": self.refused[name],
                        "shed": self.shed[name],
                    }
                    for name in self._done
                },
            }

    def close(self) -> None:
        """Write what can be written; a second time does nothing.

        Raises:
            OSError: answers in memory could not be written, and are lost.
        """
        with self._lock:
            if self._closed:
                return
            self._settle(force=True)
            self._closed = True
            left = len(self._memory)
            if self._lasting_fault is not None:
                left = max((self.count(name) for name in self._done), default=0)
            self._file.close()
            if self._claim is not None:
                self._claim.close()
            if left:
                raise OSError(f"outbox {self.path}: {left} answers are lost ({self.fault})")

    # -- inside, under the lock ----------------------------------------------------------------

    def _settle(self, force: bool = False) -> None:
        """Memory to disk, and the bounds; a disk that has failed is left alone for a while."""
        if self._closed:
            return
        if self.fault in (None, self._lasting_fault) or force or self._clock() >= self._retry_at_s:
            try:
                self._write()
            except sqlite3.Error as error:
                if not (is_disk_full(error) and self._write_in_place_of_the_oldest()):
                    self._failed(error)
        while self._memory_bytes > min(MEMORY_BYTES, self._max_bytes):
            self._shed(self._memory[0].seq)
            self._memory_bytes -= self._memory.popleft().size_bytes

    def _write(self) -> None:
        expired = self._expired()
        over_bytes = self._disk_bytes + self._memory_bytes - self._max_bytes
        if not (self._memory or self._unsaved or expired or over_bytes > 0 or self.fault):
            return
        bound = max(expired, self._file.last_of_first(over_bytes) if over_bytes > 0 else 0)
        drop = max(bound, min(self._done.values(), default=self._last))
        gone_bytes = self._file.bytes_until(drop)
        self._file.save(self._memory, self._done, drop)
        self._disk_bytes += self._memory_bytes - gone_bytes
        # What went before it ever was on disk.
        self._disk_bytes -= sum(one.size_bytes for one in self._memory if one.seq <= drop)
        self._memory.clear()
        self._memory_bytes = 0
        self._unsaved = False
        self._shed(bound)
        if self.fault not in (None, self._lasting_fault):
            _log.warning("outbox %s: it can be written again", self.path)
        self.fault = self._lasting_fault

    def _expired(self) -> int:
        """The last answer on disk that is too old; 0 where none is."""
        last = 0
        while rows := self._file.rows(last, 1):
            if self.age_s(rows[0]) <= self._max_age_s:
                break
            last = rows[0].seq
        return last

    def _write_in_place_of_the_oldest(self) -> bool:
        """Make room on a full disk: of the log's, else of the oldest, a tenth each time, until the
        reserve is there again; whether it could be written then."""
        with suppress(sqlite3.Error, OSError):
            self._file.empty_log()
            while not self._file.hold_reserve() and self._disk_bytes > 0:
                self._remove_a_tenth()
            try:
                self._write()
            except sqlite3.Error:
                self._remove_a_tenth()
                self._write()
            return True
        return False

    def _remove_a_tenth(self) -> None:
        last = self._file.last_of_first(max(1, self._disk_bytes // 10))
        gone_bytes = self._file.bytes_until(last)
        self._file.remove(last)
        self._disk_bytes -= gone_bytes
        self._shed(last)

    def _shed(self, last: int) -> None:
        """What goes with ``last`` and before it is lost to those who have not had it."""
        for name, done in self._done.items():
            if last > done:
                self.shed[name] += last - done
                self._done[name] = last
                self._unsaved = True

    def _failed(self, error: sqlite3.Error) -> None:
        self._retry_at_s = self._clock() + _RETRY_S
        if self.fault != str(error):
            self.fault = str(error)
            _log.error(
                "outbox %s: %s; answers wait in memory until it can be written", self.path, error
            )

    def _opened(self) -> OutboxFile:
        try:
            if self._claim is not None:
                return OutboxFile(self.path)
        except sqlite3.OperationalError as error:
            if not takes_nothing(error):
                raise ConfigError(f"outbox {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            # What a failing card left: it is kept for whoever wants to look, and a new one begun.
            aside = f"{self.path}.damaged-{self._run}"
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
            _log.error("outbox %s is damaged (%s); it is kept as %s", self.path, error, aside)
            return OutboxFile(self.path)
        self.fault = self._lasting_fault = "the disk takes nothing"
        self._max_bytes = min(self._max_bytes, MEMORY_BYTES)
        _log.error("outbox %s: %s; answers wait in memory alone", self.path, self.fault)
        return OutboxFile(":memory:")


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(8)
