from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.errors import SourceError

PATIENCE_S = 20.0


class Film(Source):
    """Frames at the given times; it says how far it was read, and may fail at the end."""

    def __init__(
        self, times_s: list[float], self_paced: bool = False, error: Exception | None = None
    ) -> None:
        super().__init__("film", live=True, self_paced=self_paced)
        self._times_s = times_s
        self._error = error
        self.read = 0
        self.ended = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        rgb = np.zeros((2, 2, 3), np.uint8)
        for index, time_s in enumerate(self._times_s):
            if self._closed.is_set():
                return
            self.read += 1
            yield Frame("film", index, time_s, rgb, decoded_s=-1.0)
        self.ended.set()
        if self._error is not None:
            raise self._error


class Camera(Film):
    """Like a camera that waits for nobody, but for the test's word."""

    def __init__(self, count: int) -> None:
        super().__init__([i / 10 for i in range(count)], self_paced=True)
        self.go = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            self.waiting.release()
            self.go.acquire()
            if self._closed.is_set():
                return
            yield frame

    def close(self) -> None:
        super().close()
        self.go.release()


class FakeTime:
    """A clock that only waiting moves, and by a little more than was asked for."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 100.0
        self._late_s = late_s

    def clock(self) -> float:
        return self.now_s

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.now_s += seconds + self._late_s
        return event.is_set()


def collect(feed: Feed) -> tuple[list[Frame], threading.Thread]:
    got: list[Frame] = []
    thread = threading.Thread(target=lambda: got.extend(feed))
    thread.start()
    return got, thread


def test_a_file_waits_for_its_consumer_and_loses_nothing() -> None:
    film = Film([i / 10 for i in range(5)])
    with Feed(film, live=False) as feed:
        for expected, frame in enumerate(feed):
            assert frame.index == expected
            assert film.read == expected + 1
    assert (feed.captured, feed.dropped) == (5, 0)


def test_a_slow_consumer_of_a_camera_gets_the_newest_frame_and_the_others_are_counted() -> None:
    camera = Camera(6)
    camera.go.release()
    with Feed(camera, live=True) as feed:
        first = next(feed)
        for _ in range(5):
            camera.go.release()
        assert camera.ended.wait(PATIENCE_S)
        rest = list(feed)
    assert [first.index] + [frame.index for frame in rest] == [0, 5]
    assert (feed.captured, feed.dropped) == (6, 4)


def test_a_frame_nobody_took_before_the_end_counts_as_dropped() -> None:
    camera = Camera(3)
    camera.go.release()
    feed = Feed(camera, live=True)
    next(feed)
    camera.go.release()
    for _ in range(3):
        assert camera.waiting.acquire(timeout=PATIENCE_S)
    feed.close()
    assert list(feed) == []
    assert (feed.captured, feed.dropped) == (2, 1)


@pytest.mark.parametrize("late_s", [0.0, 0.004])
def test_a_file_read_as_live_is_paced_by_its_own_times_without_drifting(late_s: float) -> None:
    time = FakeTime(late_s)
    times_s = [0.0, 0.1, 0.15, 1.0, 1.05]
    due_s = []

    class Watched(Film):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                yield frame
                due_s.append(time.now_s - 100.0)

    with Feed(Watched(times_s), live=True, clock=time.clock, wait=time.wait) as feed:
        got = list(feed)
    assert due_s == pytest.approx(times_s, abs=late_s + 1e-9)
    assert feed.captured == len(times_s)
    assert got[-1].decoded_s == pytest.approx(101.05, abs=late_s + 1e-9)


def test_a_camera_keeps_its_own_pace() -> None:
    time = FakeTime()
    film = Film([0.0, 5.0], self_paced=True)
    with Feed(film, live=True, clock=time.clock, wait=time.wait) as feed:
        got = list(feed)
    assert time.now_s == 100.0
    assert {frame.decoded_s for frame in got} == {-1.0}


@pytest.mark.parametrize("live", [True, False])
def test_a_source_that_breaks_is_an_error_of_the_consumer(live: bool) -> None:
    film = Film([0.0], self_paced=True, error=SourceError("the cable is out"))
    with Feed(film, live) as feed:
        assert next(feed).index == 0
        with pytest.raises(SourceError, match="the cable is out"):
            next(feed)
        assert list(feed) == []


def test_closing_ends_a_consumer_that_waits_for_a_camera() -> None:
    camera = Camera(3)
    feed = Feed(camera, live=True)
    got, consumer = collect(feed)
    assert camera.waiting.acquire(timeout=PATIENCE_S)
    feed.close()
    consumer.join(PATIENCE_S)
    assert not consumer.is_alive()
    assert got == []


def test_closing_ends_a_consumer_that_waits_for_a_frame_to_become_due() -> None:
    film = Film([0.0, 3600.0])
    feed = Feed(film, live=True)
    taken = threading.Event()
    got: list[Frame] = []

    def consume() -> None:
        for frame in feed:
            got.append(frame)
            taken.set()

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert taken.wait(PATIENCE_S)
    feed.close()
    consumer.join(PATIENCE_S)
    assert not consumer.is_alive()
    assert [frame.index for frame in got] == [0]
    assert (feed.captured, feed.dropped) == (1, 0)


def test_a_closed_feed_gives_nothing() -> None:
    for live in (True, False):
        feed = Feed(Film([0.0]), live)
        feed.close()
        feed.close()
        assert list(feed) == []
