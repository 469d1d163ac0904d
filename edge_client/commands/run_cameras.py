"""``edge-client run`` of several cameras: each with its feed, books and outputs, in a thread
of its own; one recognizer for all, which answers one frame at a time, in turn.

    camera -> feed --\\
    camera -> feed ---> turns -> recognizer -> the camera's outputs -> the common lines
"""

from __future__ import annotations

import argparse
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client import pipeline
from splitfer.edge_client.appliance.appliance import Appliance
from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.course import Course
from splitfer.edge_client.appliance.house import House
from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
from splitfer.edge_client.commands.run_summary import one_line, summary_of, write_summary
from splitfer.edge_client.commands.telling import INTERRUPTED, LOST, OK, tell
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.edge_client.settings.turns import Turns
from splitfer.edge_client.sinks import output_flags
from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.kept_pictures import KeptPictures, PurgeThread
from splitfer.edge_client.sinks.sink import ReaderLeft
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.masks import Masks
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.tracking.faces import TrackedFaces
from splitfer.edge_client.updates.fetched_weights import FetchedWeights
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import SourceError, SplitFerError
from splitfer.shared.settings import printable

# A camera that is being opened as the run ends may hang in its driver.
_JOIN_S = 10.0

_log = logging.getLogger(__name__)


class CamerasRun:
    """What a run has over all its settings: books, failures and pauses by camera."""

    def __init__(self, arguments: argparse.Namespace, weights: FetchedWeights) -> None:
        self._arguments, self._weights = arguments, weights
        self._books: dict[str, Books] = {}
        self._failures: dict[str, Counter[str]] = {}
        self._paused: set[str] = set()
        self._errors: dict[str, SplitFerError] = {}
        self._summary_failed = False

    def go(self, asked: EdgeConfig, course: Course) -> EdgeConfig | None:
        """Answer the cameras' frames by the settings that were ``asked`` for, until all their feeds
        end; gives the settings to go on with, None where the run is over.

        Raises:
            SplitFerError: it cannot begin, or no camera could be read.
        """
        arguments, self._errors = self._arguments, {}
        config = self._weights.used_in(asked)
        configs = config.each_camera()
        for one in configs:
            own = output_flags.of_camera(arguments, str(one.source_name))
            output_flags.check(own, one, [str(one.source)])
        purposes = [
            stated_purpose(one.purpose, str(one.source))
            if is_live(str(one.source))
            else one.purpose
            for one in configs
        ]
        with ExitStack() as stack:
            recognizer = stack.enter_context(Recognizer.from_config(config))
            pictures = KeptPictures(state_folder())
            stack.enter_context(closing(PurgeThread(pictures)))
            lines = JsonLines(config.output, max_mb=config.output_max_mb)
            stack.callback(lines.close)
            house = House(config, printable(config), recognizer.choose_policy)
            house.start()
            stack.callback(house.close)
            turns = Turns()
            cameras = [
                _Camera(self, one, purpose, house, recognizer, lines, pictures, turns)
                for one, purpose in zip(configs, purposes, strict=True)
            ]
            every = _Every(cameras)
            updater = self._weights.watched(asked, self._report, course.ask, every.told)
            course.begin(every, every.settings_refused)
            try:
                every.run()
                settings = course.turn()
            finally:
                every.close()
                if updater is not None:
                    updater.close()
            house.close(goes_on=settings is not None)
        if settings is None:
            self._tell_summary(cameras)
            if len(self._errors) == len(cameras):
                raise next(iter(self._errors.values()))
        return settings

    def code(self, stopped: bool) -> int:
        """The exit code."""
        for name, books in self._books.items():
            if not books.balanced:
                tell(
                    f"edge-client: {name}: {books.captured} frames captured, but "
                    f"{books.ledger.frames} processed and {books.dropped} dropped: please report "
                    "this"
                )
                return LOST
        lost = any(books.ledger.lost_frames for books in self._books.values())
        failed = any(self._failures.values()) or self._errors or self._summary_failed
        if lost or failed:
            return LOST
        return INTERRUPTED if stopped else OK

    def books_of(self, name: str) -> Books:
        """Of a camera, over all settings."""
        return self._books.setdefault(name, Books())

    def ended(self, name: str, failures: Counter[str], paused: bool) -> None:
        """A camera has ended."""
        self._failures[name] = self._failures.get(name, Counter()) + failures
        (self._paused.add if paused else self._paused.discard)(name)

    def was_paused(self, name: str) -> bool:
        """Whether a camera was, by the settings before."""
        return name in self._paused

    def failed(self, name: str, error: SplitFerError) -> None:
        """A camera is given up; the others go on."""
        self._errors[name] = error
        tell(f"edge-client: {name}: {error}; the other cameras go on")

    def _report(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for books in list(self._books.values()):
            total.update(books.report())
        return {"captured": 0, "dropped": 0, "answered": 0, "lost": 0, **total}

    def _tell_summary(self, cameras: list[_Camera]) -> None:
        summaries = {camera.name: camera.summary for camera in cameras if camera.summary}
        for name, summary in summaries.items():
            tell(f"{name}: {one_line(summary)}")
        if self._arguments.summary:
            errors = {name: str(error) for name, error in self._errors.items()}
            try:
                write_summary(self._arguments, {"cameras": summaries, "given_up": errors})
            except OSError as error:
                self._summary_failed = True
                _log.error("--summary: %s", error.strerror or error)


class _Camera:
    """One camera of a run; ``run`` is its thread's. ``summary`` is there once it has ended."""

    def __init__(
        self,
        of: CamerasRun,
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
        self._source: Source | None = None
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
        arguments = output_flags.of_camera(self._of._arguments, self.name)
        books = self._of.books_of(self.name)
        with ExitStack() as stack:
            source = stack.enter_context(
                open_source(
                    str(config.source), arguments.realtime, config.picture_pixels,
                    config.wait_source, config.rtsp_transport, config.max_fps, config.frozen_s,
                )
            )  # fmt: skip
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
                    config, source, recognizer, outputs, self._purpose, list(map(str, exports)),
                    lambda: self._pictures.fault, self._house,
                )
            )  # fmt: skip
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
                        feed, _Seen(recognizer, self.name), [outputs], books.ledger,
                        lambda *_: None, appliance.paused, tracks, self._turns,
                    )  # fmt: skip
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

    def answer(self, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        return self._recognizer.answer(rgb, decoded_s, self._camera)

    def learn(self) -> None:
        self._recognizer.learn()


class _Every:
    """All cameras as one."""

    def __init__(self, cameras: list[_Camera]) -> None:
        self.source: Source = _Cameras()
        self._cameras = cameras
        self._stop = threading.Event()

    def run(self) -> None:
        """Until all have ended."""
        threads = [
            threading.Thread(target=camera.run, args=(self._stop,), name=camera.name, daemon=True)
            for camera in self._cameras
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not self._stop.wait(0.1):
            pass
        self.close()
        for thread in threads:
            thread.join(_JOIN_S)

    def close(self) -> None:
        """End all; a second time does nothing."""
        self._stop.set()
        for camera in self._cameras:
            camera.close()

    def told(self, event: str, **facts: Any) -> None:
        """Something for the audit log, once."""
        for camera in self._cameras:
            if camera.appliance is not None:
                camera.appliance.told(event, **facts)
                return

    def settings_refused(self, why: str) -> None:
        """Other settings were to be used, and could not be."""
        for camera in self._cameras:
            if camera.appliance is not None:
                camera.appliance.settings_refused(why)


class _Cameras(Source):
    """What the settings of several cameras name: something live."""

    def __init__(self) -> None:
        super().__init__("several cameras", live=True, self_paced=True)

    def __iter__(self) -> Iterator[Frame]:
        return iter(())
