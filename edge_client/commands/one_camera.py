"""One camera of a run of several: its feed, its books and its outputs, in a thread of its own."""

from __future__ import annotations

import argparse
import logging
import threading
from collections import Counter
from contextlib import ExitStack, closing
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client import pipeline
from splitfer.edge_client.appliance.appliance import Appliance
from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.house import House
from splitfer.edge_client.appliance.purpose import stated_purpose
from splitfer.edge_client.commands.run_summary import summary_of
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.settings.turns import Turns
from splitfer.edge_client.sinks import output_flags
from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.kept_pictures import KeptPictures
from splitfer.edge_client.sinks.sink import ReaderLeft
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.masks import Masks
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.tracking.faces import TrackedFaces
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import SourceError, SplitFerError

_log = logging.getLogger(__name__)


class OfRun(Protocol):
    """What a camera needs of its run."""

    arguments: argparse.Namespace

    def books_of(self, name: str) -> Books:
        """Of a camera, over all settings."""
        ...

    def was_paused(self, name: str) -> bool:
        """Whether a camera was, by the settings before."""
        ...

    def ended(self, name: str, failures: Counter[str], paused: bool) -> None:
        """A camera has ended."""
        ...

    def failed(self, name: str, error: SplitFerError) -> None:
        """A camera is given up; the others go on."""
        ...


class OneCamera:
    """One camera of a run; ``run`` is its thread's. ``summary`` is there once it has ended."""

    def __init__(
        self,
        of: OfRun,
        config: EdgeConfig,
        purpose: str | None,
        house: House,
        recognizer: Recognizer,
        lines: JsonLines,
        pictures: KeptPictures,
        turns: Turns,
    ) -> None:
        self.name = str(config.source_name)
        self.summary: dict[str, Any] | None = None
        self.appliance: Appliance | None = None
        self._of, self._config, self._purpose = of, config, purpose
        self._house, self._recognizer, self._lines = house, recognizer, lines
        self._pictures, self._turns = pictures, turns
        self._closed = threading.Event()
        self._feed: Feed | None = None
        recognizer.add_camera(self.name, config)

    def run(self, stop_all: threading.Event) -> None:
        """Answer its frames until it ends. Whatever happens to it is its own."""
        try:
            self._answer()
        except ReaderLeft:
            stop_all.set()  # who read all the cameras' lines left
        except SplitFerError as error:
            self._give_up(error)
        except Exception as error:
            _log.exception("%s: unexpected", self.name)
            self._give_up(SourceError(f"unexpected: {type(error).__name__}"))

    def close(self) -> None:
        """End it. From any thread; a second time does nothing."""
        self._closed.set()
        if (feed := self._feed) is not None:
            feed.close()

    def _give_up(self, error: SplitFerError) -> None:
        if not self._closed.is_set():
            self._house.faults[self.name] = str(error)
            self._of.failed(self.name, error)

    def _answer(self) -> None:
        config, recognizer = self._config, self._recognizer
        arguments = output_flags.of_camera(self._of.arguments, self.name)
        books = self._of.books_of(self.name)
        with ExitStack() as stack:
            source = stack.enter_context(
                open_source(
                    str(config.source),
                    arguments.realtime,
                    config.picture_pixels,
                    config.wait_source,
                    config.rtsp_transport,
                    config.max_fps,
                    config.frozen_s,
                )
            )
            if self._purpose is None and source.live and source.self_paced:
                self._purpose = stated_purpose(config.purpose, str(config.source))
            outputs = output_flags.opened(
                arguments, config, source, lambda: recognizer.decision, self._pictures, self._lines
            )
            exports = [
                config.output,
                *filter(None, (arguments.csv, arguments.annotate, arguments.contact_sheet)),
            ]
            appliance = self.appliance = stack.enter_context(
                Appliance(
                    config,
                    source,
                    recognizer,
                    outputs,
                    self._purpose,
                    list(map(str, exports)),
                    lambda: self._pictures.fault,
                    self._house,
                )
            )
            if self._of.was_paused(self.name):
                appliance.control.pause(True, "the settings before")

            def idle() -> None:
                with self._turns:  # the lines are common
                    outputs.idle()

            live = source.live or arguments.realtime
            feed = stack.enter_context(
                Feed(source, live, idle=idle, prepare=Masks(config.masks).put_on)
            )
            self._feed = feed
            if self._closed.is_set():
                feed.close()
            books.watched(feed)
            appliance.watch(books)
            tracks = TrackedFaces(config.smooth_s, config.lost_s) if source.moving else None
            try:
                with closing(outputs):
                    pipeline.run(
                        feed,
                        _Seen(recognizer, self.name),
                        [outputs],
                        books.ledger,
                        lambda *_: None,
                        appliance.paused,
                        tracks,
                        self._turns,
                    )
            finally:
                feed.close()
                appliance.close()
                books.closed(0)
                self._of.ended(self.name, outputs.failures, appliance.control.paused)
                self.summary = summary_of(
                    books, config, source, recognizer, outputs.failures, source.skipped
                )
                self.summary |= appliance.report()


class _Seen:
    """The recognizer, for the frames of one camera."""

    def __init__(self, recognizer: Recognizer, camera: str) -> None:
        self._recognizer, self._camera = recognizer, camera

    def answer(
        self, rgb: NDArray[np.uint8], decoded_s: float, *, time_s: float | None = None
    ) -> list[FaceAnswer]:
        return self._recognizer.answer(rgb, decoded_s, self._camera, time_s=time_s)

    def learn(self) -> None:
        self._recognizer.learn()
