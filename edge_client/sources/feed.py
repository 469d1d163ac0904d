"""Frames from a source to whoever works on them, at the pace that suits both.

a file            read when the consumer asks: nothing waits, nothing is dropped
a live source     a thread reads; one frame waits at most, and always the newest
a file as live    the same, each frame held back until its own time has come
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.deadline import Clock

# A camera that hangs in its driver must not hold up the end of the program.
_JOIN_S = 1.0
# A signal handler may close the feed in the very thread that is about to wait; it wakes nobody.
_LOOK_AGAIN_S = 0.5


class Feed:
    """Iterates a source's frames once. ``live`` drops the frames that come too late for it.

    ``captured`` counts the frames that came, ``dropped`` those that were never handed out, or given
    back by ``shed``: ``captured - dropped`` is what the consumer worked on. ``decoded_s`` of a
    frame is the instant it was decoded, or became due where a file is read as live. Reading starts
    with the first frame asked for. ``prepare`` makes of each frame what is handed out. ``idle`` is
    called about twice a second in the consumer's thread, of a live source. ``wait(event, seconds)``
    is ``Event.wait``, for tests.
    """

    def __init__(
        self,
        source: Source,
        live: bool,
        clock: Clock = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        idle: Callable[[], None] = lambda: None,
        prepare: Callable[[Frame], Frame] = lambda frame: frame,
    ) -> None:
        self.source = source
        self.live = live
        self.captured = 0
        self.dropped = 0
        self._clock = clock
        self._wait = wait
        self._idle, self._idle_at_s = idle, clock()
        self._prepare = prepare
        self._closed = threading.Event()
        self._frames: Iterator[Frame] | None = None
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._reader: threading.Thread | None = None

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame; waits for it.

        Raises:
            SourceError: the source can be read no further. Whatever else its reading raised is
                raised here too.
        """
        return self._prepare(self._next_live() if self.live else self._next_plain())

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed.is_set()

    def newest(self, frame: Frame) -> Frame:
        """The frame that waits, where one does: then nobody works on ``frame``, which was handed
        out last."""
        with self._changed:
            if self._newest is None or self._closed.is_set():
                return frame
            frame, self._newest = self._newest, None
            self.dropped += 1
        return self._prepare(frame)

    def shed(self) -> None:
        """Nobody works on the frame that was handed out last."""
        with self._changed:
            self.dropped += 1

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is closed."""
        self._wait(self._closed, seconds)

    def close(self) -> None:
        """End the iteration and close the source. From any thread; again does nothing."""
        self._closed.set()
        with self._changed:
            if self._newest is not None:
                self._newest = None
                self.dropped += 1
            self._changed.notify_all()
        self.source.close()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(_JOIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _next_plain(self) -> Frame:
        if self._frames is None:
            self._frames = iter(self.source)
        if self._closed.is_set():
            raise StopIteration
        frame = next(self._frames)
        self.captured += 1
        return frame

    def _next_live(self) -> Frame:
        if self._clock() - self._idle_at_s >= _LOOK_AGAIN_S:
            self._rest()  # also where frames come in time
        with self._changed:
            if self._reader is None and not self._closed.is_set():
                self._reader = threading.Thread(target=self._read, name="feed", daemon=True)
                self._reader.start()
            while self._newest is None and not self._ended and not self._closed.is_set():
                if not self._changed.wait(_LOOK_AGAIN_S):
                    self._rest()
            if self._newest is not None:
                frame, self._newest = self._newest, None
                return frame
            if self._error is not None and not self._closed.is_set():
                error, self._error = self._error, None
                raise error
            raise StopIteration

    def _rest(self) -> None:
        self._idle_at_s = self._clock()
        self._idle()

    def _read(self) -> None:
        try:
            start_s: float | None = None
            for frame in self.source:
                if not self.source.self_paced:
                    # Against one start: a wait that took too long makes the next one shorter.
                    start_s = self._clock() - frame.time_s if start_s is None else start_s
                    if not self._wait_until(start_s + frame.time_s):
                        return
                    frame = replace(frame, decoded_s=self._clock(), wall_s=time.time())
                if not self._offer(frame):
                    return
        except BaseException as error:  # it belongs to the consumer, whatever it is
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _wait_until(self, due_s: float) -> bool:
        """False where the feed was closed meanwhile."""
        while (left_s := due_s - self._clock()) > 0:
            if self._wait(self._closed, left_s):
                return False
        return not self._closed.is_set()

    def _offer(self, frame: Frame) -> bool:
        with self._changed:
            if self._closed.is_set():
                return False
            self.captured += 1
            if self._newest is not None:
                self.dropped += 1
            self._newest = frame
            self._changed.notify_all()
        return True
