"""Sources without an end: cameras and network streams, opened again when they break."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from edge_client.sources.base import Source
from edge_client.sources.frame import Frame
from edge_client.sources.video_decoder import VideoDecoder
from shared.deadline import Clock
from shared.errors import SourceError

# The first is shorter than a person's patience; the last spares a rebooting camera, and the log.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0

_log = logging.getLogger(__name__)


class Stream(Source):
    """Frames as they come, timed by ``clock`` since the stream was opened.

    A stream that breaks or ends is opened again: after ``FIRST_WAIT_S``, then twice as long each
    time up to ``LONGEST_WAIT_S``, from the start again once a picture has come. ``reopened`` counts
    how often that worked. ``wait(seconds)`` returns whether the source was closed meanwhile.

    Raises:
        SourceError: it cannot be opened the first time.
    """

    def __init__(
        self,
        name: str,
        opened: Callable[[], VideoDecoder],
        first: VideoDecoder | None = None,
        clock: Clock = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(name, live=True, self_paced=True)
        self._opened = opened
        self._decoder = first or opened()
        self._clock = clock
        self._wait = wait or self._closed.wait
        self.fps = self._decoder.fps
        self.reopened = 0

    def __iter__(self) -> Iterator[Frame]:
        """Frames until it is closed; it never raises because the stream is away."""
        index = 0
        start_s = self._clock()
        wait_s = FIRST_WAIT_S
        while not self._closed.is_set():
            why = "it ended"
            try:
                for picture in self._decoder.pictures(self._closed):
                    now_s = self._clock()
                    yield Frame(self.name, index, now_s - start_s, picture.rgb, now_s)
                    index += 1
                    wait_s = FIRST_WAIT_S
            except SourceError as error:
                why = str(error)
            while not self._closed.is_set():
                _log.warning("%s: %s; trying again in %.1f s", self.name, why, wait_s)
                if self._wait(wait_s):
                    return
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                try:
                    self._decoder = self._opened()
                except SourceError as error:
                    why = str(error)
                else:
                    self.reopened += 1
                    break

    def close(self) -> None:
        """End the iteration and close the device. From any thread; a second time does nothing."""
        super().close()
        self._decoder.close()
