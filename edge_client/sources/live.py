"""Sources without an end: cameras and network streams, opened again when they break."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.decoder import Decoder
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.stillness import Seen, Stillness
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import SourceError, SourceRefused

# The first is shorter than a person's patience; the last spares a rebooting camera.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
# Of a wait: cameras behind one switch come back in one moment.
_JITTER = 0.25
FROZEN_S = 60.0
"""A picture that has been the same for so long is that of a camera that froze."""

_log = logging.getLogger(__name__)


class Stream(Source):
    """Frames as they come, timed by ``clock`` since the stream was opened.

    A stream that breaks or ends is opened again: after ``FIRST_WAIT_S``, then twice as long each
    time up to ``LONGEST_WAIT_S``, a quarter more or less by ``jitter``, from the start again once a
    picture has come. So is one whose picture has been the same to the bit for ``frozen_s`` (0 for
    never); no picture of it is given until one differs. One line says each cause as it changes, and
    one that pictures come again. ``reopened`` counts how often that worked. With ``patient`` one
    that cannot be opened the first time is waited for in the same way, except where it wants
    another password. With ``ends`` one that turns out to have a known length is over after it.
    ``wait(seconds)`` returns whether the source was closed meanwhile; ``end`` is called as it is
    closed.

    Raises:
        SourceError: it cannot be opened the first time.
    """

    def __init__(
        self,
        name: str,
        opened: Callable[[], Decoder],
        first: Decoder | None = None,
        clock: Clock = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        patient: bool = False,
        ends: bool = False,
        end: Callable[[], None] = lambda: None,
        frozen_s: float = FROZEN_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(name, live=True, self_paced=True)
        self._frozen_s, self._jitter = frozen_s, jitter
        self._stillness = Stillness(frozen_s)
        self._end = end
        self._opened = opened
        self._decoder = first
        self._away: str | None = None
        self._logged: str | None = None
        self._clock = clock
        self._wait = wait or self._closed.wait
        self._ends = ends
        if self._decoder is None:
            try:
                self._decoder = opened()
            except SourceError as error:
                if not patient or isinstance(error, SourceRefused):
                    end()
                    raise
                self._away = str(error)
        self.fps = self._decoder.fps if self._decoder else None

    def __iter__(self) -> Iterator[Frame]:
        """Frames until it is closed; it never raises because the stream is away."""
        index = 0
        start_s = away_s = self._clock()
        wait_s = FIRST_WAIT_S
        why = self._away or ""
        while not self._closed.is_set():
            if self._decoder is not None:
                why = f"{self.name}: it ended"
                try:
                    for rgb, now_s in self._pictures(self._decoder):
                        self._back(now_s - away_s)
                        yield Frame(self.name, index, now_s - start_s, rgb, now_s)
                        index += 1
                        wait_s = FIRST_WAIT_S
                    if self._ends and self._decoder.duration_s is not None:
                        return
                except SourceError as error:
                    why = str(error)
                away_s = self._clock()
            while not self._closed.is_set():
                self._gone(why)
                if self._wait(wait_s * (1 + _JITTER * (2 * self._jitter() - 1))):
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
        if self._decoder is not None:
            self._decoder.close()
        self._end()

    def _pictures(self, decoder: Decoder) -> Iterator[tuple[NDArray[np.uint8], float]]:
        with closing(decoder.pictures(self._closed)) as pictures:
            for picture in pictures:
                now_s = self._clock()
                seen = self._stillness.judge(picture.rgb, now_s)
                if seen is Seen.FROZE:
                    words = f"the picture has not changed for {self._frozen_s:g} s"
                    raise SourceError(f"{self.name}: {words}")
                if seen is Seen.MOVING:
                    yield picture.rgb, now_s

    @property
    def fault(self) -> str | None:
        """Why no picture comes, while the camera is waited for."""
        return self._logged

    def _gone(self, why: str) -> None:
        if why != self._logged:
            self._logged = why
            _log.warning("%s; it is tried again until pictures come", why)

    def _back(self, away_s: float) -> None:
        if self._logged is not None:
            self._logged = None
            _log.warning("%s: pictures come, after %.0f s", self.name, away_s)
