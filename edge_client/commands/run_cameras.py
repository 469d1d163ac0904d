"""``edge-client run`` of several cameras: each with its feed, books and outputs, in a thread
of its own; one recognizer for all, which answers one frame at a time, in turn.

    camera -> feed --\\
    camera -> feed ---> turns -> recognizer -> the camera's outputs -> the common lines
"""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.course import Course
from splitfer.edge_client.appliance.house import House
from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
from splitfer.edge_client.commands.one_camera import OneCamera
from splitfer.edge_client.commands.run_summary import one_line, write_summary
from splitfer.edge_client.commands.telling import INTERRUPTED, LOST, OK, tell
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.edge_client.settings.turns import Turns
from splitfer.edge_client.sinks import output_flags
from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.kept_pictures import KeptPictures, PurgeThread
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.updates.fetched_weights import FetchedWeights
from splitfer.shared.errors import SplitFerError
from splitfer.shared.settings import printable

# A camera that is being opened as the run ends may hang in its driver.
_JOIN_S = 10.0

_log = logging.getLogger(__name__)


class CamerasRun:
    """What a run has over all its settings: books, failures and pauses by camera."""

    def __init__(self, arguments: argparse.Namespace, weights: FetchedWeights) -> None:
        self.arguments, self._weights = arguments, weights
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
        arguments, self._errors = self.arguments, {}
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
                OneCamera(self, one, purpose, house, recognizer, lines, pictures, turns)
                for one, purpose in zip(configs, purposes, strict=True)
            ]
            every = _Every(cameras)
            updater = self._weights.watched(asked, self._report, course.ask, every.add_audit_event)
            course.begin(every, every.settings_refused, here=False)
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

    def _tell_summary(self, cameras: list[OneCamera]) -> None:
        summaries = {camera.name: camera.summary for camera in cameras if camera.summary}
        for name, summary in summaries.items():
            tell(f"{name}: {one_line(summary)}")
        if self.arguments.summary:
            errors = {name: str(error) for name, error in self._errors.items()}
            try:
                write_summary(self.arguments, {"cameras": summaries, "given_up": errors})
            except OSError as error:
                self._summary_failed = True
                _log.error("--summary: %s", error.strerror or error)


class _Every:
    """The appliances of all cameras, as one."""

    def __init__(self, cameras: list[OneCamera]) -> None:
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
        end_s = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def close(self) -> None:
        """End all cameras; a second time does nothing."""
        self._stop.set()
        for camera in self._cameras:
            camera.close()

    def add_audit_event(self, event: str, **facts: Any) -> None:
        """Something for the audit log, once."""
        for camera in self._cameras:
            if camera.appliance is not None:
                camera.appliance.add_audit_event(event, **facts)
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
