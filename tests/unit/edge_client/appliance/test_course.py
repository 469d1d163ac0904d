from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.course import Course, has_terminal
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.errors import ConfigError
from tests.processes import wait_until

OLD, NEW = EdgeConfig(source="0"), EdgeConfig(source="1")


class Camera(Source):
    """Gives one frame, and then none until it is closed."""

    def __init__(self, live: bool = True) -> None:
        super().__init__("camera", live=live, self_paced=live)

    def __iter__(self) -> Iterator[Frame]:
        yield Frame("camera", 0, 0.0, np.zeros((2, 2, 3), np.uint8), 0.0)
        self._closed.wait()


terminal_of = has_terminal


@pytest.fixture(autouse=True)
def _without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitfer.edge_client.appliance.course.has_terminal", lambda: False)


def test_a_process_knows_whether_a_terminal_is_its_own(tmp_path: Path) -> None:
    asks = (
        "import sys; from splitfer.edge_client.appliance.course import has_terminal; "
        "sys.exit(has_terminal())"
    )
    command = [sys.executable, "-c", asks]
    assert subprocess.run(command, start_new_session=True, timeout=60).returncode == 0
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", *command], stdin=its_end, stdout=its_end, stderr=its_end
    ) as running:
        os.close(its_end)
        assert running.wait(60) == 1
    os.close(terminal)
    assert terminal_of(tmp_path / "no such file")


def course_of(load: Callable[[], EdgeConfig]) -> tuple[Course, list[str]]:
    return Course(load), []


def test_hung_up_a_service_goes_on_with_what_its_settings_say_now() -> None:
    course, refused = course_of(lambda: NEW)
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append)
        next(feed)
        os.kill(os.getpid(), signal.SIGHUP)
        assert not list(feed)
        assert course.turn() is NEW
        assert course.turn() is None
    assert not refused


def test_what_is_wrong_changes_nothing() -> None:
    faults = [ConfigError("threads: many"), ValueError("unheard of")]

    def load() -> EdgeConfig:
        raise faults.pop(0)

    course, refused = course_of(load)
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append)
        course.ask()
        course.ask()
        wait_until(lambda: len(refused) == 2, "both to be refused")
        assert not feed.closed
        course.ask()  # and the thread lives
    assert refused[0] == "threads: many"


def test_asked_between_two_feeds_the_next_one_ends_at_once() -> None:
    loaded = threading.Event()

    def load() -> EdgeConfig:
        loaded.set()
        return NEW

    course, refused = course_of(load)
    with course:
        with Feed(Camera(), live=True) as first:
            course.begin(first, refused.append)
        assert course.turn() is None
        course.ask()
        assert loaded.wait(20)
        with Feed(Camera(), live=True) as second:
            course.begin(second, refused.append)
            assert not list(second)
            assert wait_until(course.turn, "the settings") is NEW


def test_a_stop_wins() -> None:
    course, refused = course_of(lambda: NEW)
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append)
        course.ask()
        wait_until(lambda: feed.closed, "the feed to end")
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: course.came, "the signal")
        assert course.turn() is None
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_stop_does_not_wait_for_whoever_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitfer.edge_client.appliance.course._FRAME_S", 1)
    course, refused = course_of(lambda: NEW)
    reading, writing = os.pipe()
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append)
        signal.raise_signal(signal.SIGTERM)
        # As a pipe keeps its writer whose reader has hung; after a while the test fails by itself.
        late = threading.Timer(20, os.write, (writing, b"nobody interrupted"))
        late.start()
        with pytest.raises(KeyboardInterrupt):
            os.read(reading, 1)
        late.cancel()
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("here", [True, False])
def test_outputs_that_are_finished_after_a_stop_have_their_time(
    monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr("splitfer.edge_client.appliance.course._FRAME_S", 1)
    course, refused = course_of(lambda: NEW)
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append, here)
        signal.raise_signal(signal.SIGTERM)
        if here:
            assert course.turn() is None
        assert not threading.Event().wait(1.2)


def test_what_could_not_be_begun_with_is_told_to_who_goes_on() -> None:
    course, refused = course_of(lambda: NEW)
    course.cannot("no certificate")
    with course, Feed(Camera(), live=True) as feed:
        course.begin(feed, refused.append)
    assert refused == ["no certificate"]


def test_a_file_is_not_begun_again() -> None:
    course, refused = course_of(lambda: NEW)
    with course, Feed(Camera(live=False), live=False) as feed:
        course.begin(feed, refused.append)
        course.ask()
        wait_until(lambda: refused, "the refusal")
        assert not feed.closed


def test_signals_are_as_they_were_when_it_is_left() -> None:
    before = {number: signal.getsignal(number) for number in (1, 2, 15)}
    with Course(lambda: OLD) as course, Feed(Camera(), live=True) as feed:
        course.begin(feed, lambda _: None)
        assert signal.getsignal(15) is not before[15]
    assert {number: signal.getsignal(number) for number in before} == before


def test_books_count_on_over_feeds() -> None:
    books = Books()
    for wire_bytes in (5, 7):
        with Feed(Camera(), live=True) as feed:
            books.watched(feed)
            next(feed)
            books.ledger.frame_answered([])
        assert books.balanced
        books.closed(wire_bytes)
    assert books.report() == {"captured": 2, "dropped": 0, "answered": 2, "lost": 0}
    assert (books.summary()["frames"], books.summary()["wire_bytes"]) == (2, 12)
