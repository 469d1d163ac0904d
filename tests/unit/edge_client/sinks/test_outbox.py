"""What waits for a sink that is away: nothing twice, nothing out of order, nothing uncounted."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from splitfer.edge_client.sinks.outbox import MB, MEMORY_BYTES, Outbox
from splitfer.edge_client.sinks.outbox_file import ROW_BYTES
from splitfer.shared.errors import ConfigError
from tests.processes import wait_until

PATIENCE = 60


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def bodies(outbox: Outbox, reader: str = "mqtt", limit: int = 10**6) -> list[bytes]:
    return [one.body for one in outbox.waiting(reader, limit)]


def take(outbox: Outbox, reader: str, limit: int = 10) -> list[tuple[str, bytes]]:
    answers = outbox.waiting(reader, limit)
    if answers:
        outbox.done(reader, answers[-1].seq)
    return [(one.id, one.body) for one in answers]


def balanced(outbox: Outbox) -> bool:
    report = outbox.report()
    return all(
        report["put"] == one["sent"] + one["refused"] + one["shed"] + one["waiting"]
        for one in report["readers"].values()
    )


def test_answers_outlive_the_run_and_go_out_once_and_in_order(path: Path) -> None:
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        outbox.put([b"1", b"2"])
        outbox.put([b"3"])
        (first, *_) = take(outbox, "mqtt", limit=1)
        assert first[1] == b"1"
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        outbox.put([b"4"])
        assert bodies(outbox) == [b"2", b"3", b"4"]
        assert [body for _, body in take(outbox, "webhook")] == [b"1", b"2", b"3", b"4"]
        ids = [name for name, _ in take(outbox, "mqtt")]
        assert len({first[0], *ids}) == 4
        assert bodies(outbox) == []
        assert outbox.report()["bytes"] == 0


def test_nobody_else_may_read_what_waits(path: Path) -> None:
    before = os.umask(0o022)
    try:
        with closing(Outbox(path, ["mqtt"])) as outbox:
            outbox.put([b"1"])
            files = [*path.parent.glob("outbox.db"), *path.parent.glob("outbox.db-wal")]
            assert len(files) == 2
            assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    finally:
        os.umask(before)


def test_a_new_reader_is_told_what_comes_from_now_on(path: Path) -> None:
    with closing(Outbox(path, ["mqtt"])) as outbox:
        outbox.put([b"1"])
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        outbox.put([b"2"])
        assert bodies(outbox, "webhook") == [b"2"]
        assert bodies(outbox, "mqtt") == [b"1", b"2"]


def test_what_went_while_a_reader_was_not_named_does_not_wait_for_it(path: Path) -> None:
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        outbox.put([b"1"])
    with closing(Outbox(path, ["mqtt"])) as outbox:
        outbox.put([b"2", b"3"])
        take(outbox, "mqtt", limit=2)
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        assert (outbox.count("webhook"), bodies(outbox, "webhook")) == (1, [b"3"])
        take(outbox, "mqtt")
        take(outbox, "webhook")
        assert outbox.sent == {"mqtt": 1, "webhook": 1}
    with closing(Outbox(path, ["mqtt"])) as outbox:
        outbox.put([b"4"])
        take(outbox, "mqtt")
    with closing(Outbox(path, ["mqtt", "webhook"])) as outbox:
        assert outbox.count("webhook") == 0
        outbox.put([b"5"])
        take(outbox, "mqtt")
        take(outbox, "webhook")
        assert balanced(outbox)


def test_the_oldest_go_first_and_are_counted(path: Path) -> None:
    body = b"x" * (10_000 - ROW_BYTES)
    with closing(Outbox(path, ["mqtt", "webhook"], max_bytes=MB)) as outbox:
        outbox.put([body])
        take(outbox, "webhook")
        for number in range(150):
            outbox.put([body[:-4] + b"%04d" % number])
            assert outbox.report()["bytes"] <= MB
        left = bodies(outbox)
        assert [int(one[-4:]) for one in left] == list(range(50, 150))
        report = outbox.report()["readers"]
        assert (report["mqtt"]["shed"], report["webhook"]["shed"]) == (51, 50)
        assert balanced(outbox)


def test_age_counts_by_the_clock_that_nobody_sets(path: Path) -> None:
    clock, wall = Clock(), Clock()
    with closing(Outbox(path, ["mqtt"], max_age_s=100, clock=clock, wall=wall)) as outbox:
        outbox.put([b"old"])
        wall.now_s += 10**9  # a device without a battery learns what year it is
        clock.now_s += 60
        outbox.put([b"new"])
        assert bodies(outbox) == [b"old", b"new"]
        assert [outbox.age_s(one) for one in outbox.waiting("mqtt", 2)] == [60, 0]
        clock.now_s += 60
        assert bodies(outbox) == [b"new"]
        assert outbox.report()["readers"]["mqtt"]["shed"] == 1
        assert balanced(outbox)


def lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_locked_outbox_holds_up_nobody_and_catches_up(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with closing(Outbox(path, ["mqtt"], clock=clock)) as outbox:
        outbox.put([b"1"])
        with closing(lock(path)):
            outbox.put([b"2"])
            outbox.put([b"3"])
            assert outbox.fault is not None
            assert "locked" in outbox.fault
            assert bodies(outbox) == [b"1", b"2", b"3"]
            assert [body for _, body in take(outbox, "mqtt", limit=2)] == [b"1", b"2"]
            assert bodies(outbox) == [b"3"]  # and not again, though it could not be noted
        clock.now_s += 2
        outbox.put([b"4"])
        assert outbox.fault is None
        assert bodies(outbox) == [b"3", b"4"]
        assert balanced(outbox)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    with closing(Outbox(path, ["mqtt"])) as outbox:
        assert bodies(outbox) == [b"3", b"4"]


def test_memory_is_bounded_while_the_disk_takes_nothing(path: Path) -> None:
    with closing(Outbox(path, ["mqtt"], clock=Clock())) as outbox, closing(lock(path)) as other:
        for _ in range(40):
            outbox.put([b"x" * 100_000])
        assert outbox.report()["bytes"] <= MEMORY_BYTES
        assert outbox.report()["readers"]["mqtt"]["shed"] == 21
        assert balanced(outbox)
        other.execute("ROLLBACK")


def test_what_memory_held_at_the_end_is_said_to_be_lost(path: Path) -> None:
    outbox = Outbox(path, ["mqtt"], clock=Clock())
    with closing(lock(path)):
        outbox.put([b"1", b"2"])
        with pytest.raises(OSError, match="2 answers are lost"):
            outbox.close()


def test_a_full_disk_gives_up_the_oldest(path: Path) -> None:
    """Of SQLite's own bound, which fails as a disk without room does."""
    clock = Clock()
    with closing(Outbox(path, ["mqtt"], clock=clock)) as outbox:
        outbox._file._db.execute("PRAGMA max_page_count = 100").fetchall()
        for number in range(300):
            outbox.put([b"%04d" % number + b"x" * 3000])
            clock.now_s += 1
        assert outbox.fault is None
        numbers = [int(body[:4]) for body in bodies(outbox)]
        assert numbers == list(range(numbers[0], 300))
        assert outbox.report()["readers"]["mqtt"]["shed"] == numbers[0] > 100
        assert balanced(outbox)


def test_a_damaged_file_is_kept_and_a_new_one_begun(path: Path) -> None:
    with closing(Outbox(path, ["mqtt"])) as outbox:
        outbox.put([b"x" * 5000] * 20)
    data = bytearray(path.read_bytes())
    data[4096:12288] = os.urandom(8192)
    path.write_bytes(data)
    with closing(Outbox(path, ["mqtt"])) as outbox:
        outbox.put([b"1"])
        assert bodies(outbox) == [b"1"]
    (kept,) = path.parent.glob("outbox.db.damaged-*")
    assert kept.read_bytes() == data


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    # So that the test ends where it is.
    late = threading.Timer(10, lambda: os.close(os.open(path, os.O_RDWR)))
    late.start()
    with pytest.raises(ConfigError, match="no file"):
        Outbox(path, ["mqtt"])
    late.cancel()


def test_what_is_no_outbox_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("my notes")
    with pytest.raises(ConfigError, match="something else"):
        Outbox(path, ["mqtt"])
    assert path.read_text() == "my notes"
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photographs (name)")
    with pytest.raises(ConfigError, match="another program's"):
        Outbox(path, ["mqtt"])
    with pytest.raises(ConfigError, match=r"Not a directory|File exists"):
        Outbox(path / "inside", ["mqtt"])


def test_two_runs_do_not_share_one(path: Path) -> None:
    with (
        closing(Outbox(path, ["mqtt"])),
        pytest.raises(ConfigError, match="another run uses it"),
    ):
        Outbox(path, ["mqtt"])


WRITER = """
import sys
import tracemalloc
from pathlib import Path
from splitfer.edge_client.sinks.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), ["mqtt"])
number = outbox._last
while True:
    number += 1
    outbox.put([b"%d" % number])
    print(number, flush=True)
"""


def test_a_kill_loses_at_most_the_answer_that_was_written(path: Path) -> None:
    said = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            assert first in (said + 1, said + 2)
            os.set_blocking(writer.stdout.fileno(), False)
            lines = b""

            def more(writer: Any = writer) -> bool:
                nonlocal lines
                lines += writer.stdout.read() or b""
                return lines.count(b"\n") > 30

            wait_until(more, "answers")
            writer.send_signal(signal.SIGKILL)
            writer.wait(PATIENCE)
            lines += writer.stdout.read() or b""
            said = int(lines[: lines.rfind(b"\n")].rpartition(b"\n")[2])
        with closing(Outbox(path, ["mqtt"])) as outbox:
            kept = [int(body) for body in bodies(outbox)]
        assert kept in (list(range(1, said + 1)), list(range(1, said + 2)))
        said = kept[-1]


class Books(RuleBasedStateMachine):
    """Whatever happens, each reader gets a growing part of what was put, without a repetition."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = ("mqtt", "webhook")
        self.number = 0
        self.had: dict[str, list[int]] = {name: [] for name in self.readers}
        self.other: sqlite3.Connection | None = None

    @initialize(max_kb=st.sampled_from([1, 3, 1000]), max_age_s=st.sampled_from([5.0, 1e9]))
    def begin(self, max_kb: int, max_age_s: float) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path, self.clock = Path(self.folder.name) / "o.db", Clock()
        self.options: dict[str, Any] = {"max_bytes": max_kb * 1000, "max_age_s": max_age_s}
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(self.path, self.readers, clock=self.clock, **self.options)

    @rule(count=st.integers(1, 5), size=st.integers(0, 400))
    def put(self, count: int, size: int) -> None:
        records = []
        for _ in range(count):
            self.number += 1
            records.append(json.dumps([self.number, "x" * size]).encode())
        self.outbox.put(records)

    @rule(reader=st.sampled_from(["mqtt", "webhook"]), limit=st.integers(1, 7))
    def take(self, reader: str, limit: int) -> None:
        answers = self.outbox.waiting(reader, limit)
        assert len(answers) <= limit
        if answers:
            self.outbox.done(reader, answers[-1].seq)
            self.had[reader] += [json.loads(one.body)[0] for one in answers]

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def lock_or_unlock(self) -> None:
        if self.other is None:
            self.other = lock(self.path)
        else:
            self.other.close()
            self.other = None

    @rule()
    def restart(self) -> None:
        if self.other is None:
            self.clock.now_s += 2
            self.outbox.close()
            self.open()

    @invariant()
    def nothing_twice_and_all_in_order(self) -> None:
        for had in self.had.values():
            assert had == sorted(set(had))

    @invariant()
    def everything_is_counted(self) -> None:
        if hasattr(self, "outbox") and self.outbox.put_count == self.number:
            assert balanced(self.outbox)
            for reader in self.readers:
                assert self.outbox.sent[reader] == len(self.had[reader])

    @invariant()
    def it_is_within_its_bounds(self) -> None:
        if hasattr(self, "outbox") and self.outbox.fault is None:
            newest = 5 * (400 + 20 + ROW_BYTES)
            assert self.outbox.report()["bytes"] <= self.options["max_bytes"] + newest

    def teardown(self) -> None:
        if self.other is not None:
            self.other.close()
        if hasattr(self, "outbox"):
            self.clock.now_s += 2
            self.outbox.close()
            self.folder.cleanup()


Books.TestCase.settings = hypothesis.settings(
    max_examples=12, stateful_step_count=25, deadline=None
)
TestBooks = Books.TestCase


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_disk_that_fills_up(small_disk: Path) -> None:
    clock = Clock()
    with closing(Outbox(small_disk / "o.db", ["mqtt"], clock=clock)) as outbox:
        for number in range(2000):
            outbox.put([b"%04d" % number + b"x" * 3000])
            clock.now_s += 1
            assert outbox.report()["bytes"] < 4 * MB
        assert balanced(outbox)
        numbers = [int(body[:4]) for body in bodies(outbox)]
        assert numbers == list(range(numbers[0], 2000))  # the newest, and no hole
        assert 200 < len(numbers) < 1300
        assert outbox.report()["in_memory"] < 2
        # Somebody else takes the rest, and gives it back.
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        outbox.put([b"2000", b"2001"])
        assert [int(body[:4]) for body in bodies(outbox)][-2:] == [2000, 2001]
        filler.unlink()
        clock.now_s += 2
        outbox.put([b"2002"])
        assert outbox.fault is None
        assert balanced(outbox)
        taken = [int(body[:4]) for _, body in take(outbox, "mqtt", limit=10**6)]
        assert taken == list(range(taken[0], 2003))


def test_a_disk_that_becomes_read_only(small_disk: Path) -> None:
    clock = Clock()

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    with closing(Outbox(small_disk / "o.db", ["mqtt"], clock=clock)) as outbox:
        outbox.put([b"0"])
    remount("ro")
    with closing(Outbox(small_disk / "o.db", ["mqtt"], clock=clock)) as outbox:
        outbox.put([b"1"])
        assert outbox.fault is not None
        assert bodies(outbox) == [b"1"]
        take(outbox, "mqtt")
    remount("rw")
    with closing(Outbox(small_disk / "o.db", ["mqtt"], clock=clock)) as outbox:
        assert outbox.fault is None
        assert bodies(outbox) == [b"0"]


def test_a_year_of_answers_keeps_no_memory(tmp_path: Path) -> None:
    """At high speed: a sink that is away for days, and back, again and again."""
    clock = Clock()
    with closing(Outbox(tmp_path / "o.db", ["mqtt"], MB, 3600, clock)) as outbox:

        def days(count: int) -> None:
            for _ in range(count):
                for _ in range(24):
                    outbox.put([b"x" * 500])
                    clock.now_s += 3600 / 2
                take(outbox, "mqtt")
                clock.now_s += 12 * 3600

        days(5)
        tracemalloc.start()
        days(5)
        before, _ = tracemalloc.get_traced_memory()
        days(40)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 20_000
        assert balanced(outbox)
        assert outbox.report()["readers"]["mqtt"]["shed"] > 0
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * MB
