"""``edge-client run``: frames of a source to answers, until it ends or somebody says stop."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from splitfer.edge_client.arguments import given_flags
from splitfer.edge_client.commands.run_summary import one_line, summary_of, write_summary
from splitfer.edge_client.commands.telling import INTERRUPTED, LOST, OK, no_face, tell
from splitfer.edge_client.source_name import KINDS
from splitfer.shared.errors import ConfigError, SplitFerError, WeightsError
from splitfer.shared.log_lines import plain_line

if TYPE_CHECKING:
    from splitfer.edge_client.appliance.books import Books
    from splitfer.edge_client.appliance.course import Course
    from splitfer.edge_client.commands.run_cameras import CamerasRun
    from splitfer.edge_client.config import EdgeConfig
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.sources.frame import Frame
    from splitfer.edge_client.sources.open import Source
    from splitfer.edge_client.updates.fetched_weights import FetchedWeights
    from splitfer.edge_client.updates.updater import Updater
    from splitfer.shared.contracts import FaceAnswer


def run(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    """Gives the exit code.

    Raises:
        SplitFerError: it cannot begin, or its source broke for good.
    """
    from splitfer.edge_client.appliance.course import Course
    from splitfer.edge_client.config import load_config
    from splitfer.edge_client.settings.state_folder import state_folder
    from splitfer.edge_client.updates.fetched_weights import FetchedWeights

    weights = FetchedWeights(state_folder() / "weights")
    several = bool(config.cameras)
    one: _Run | CamerasRun
    if several:
        from splitfer.edge_client.commands.run_cameras import CamerasRun

        one = CamerasRun(arguments, weights)
    else:
        one = _Run(arguments, weights)
    before: EdgeConfig | None = None
    with Course(lambda: load_config(arguments.config, given_flags(arguments))) as course:
        while True:
            course.begun = False
            try:
                settings = one.go(config, course)
            except SplitFerError as error:
                if course.begun:
                    raise
                if isinstance(error, WeightsError) and weights.given_up(config, str(error)):
                    continue
                if before is None:
                    raise
                course.cannot(str(error))
                config, before = before, None
                continue
            if settings is None:
                return one.code(bool(course.came))
            if bool(settings.cameras) is not several:
                course.cannot("several cameras in place of one, or the reverse, want a new start")
                continue
            config, before = settings, config


class _Run:
    """What a run has over all its settings: books, failures, the summary."""

    def __init__(self, arguments: argparse.Namespace, weights: FetchedWeights) -> None:
        from splitfer.edge_client.appliance.books import Books

        self._arguments, self._weights = arguments, weights
        self._books: Books = Books()
        self._failures: Counter[str] = Counter()
        self._left_out = 0
        self._paused = False

    def go(self, asked: EdgeConfig, course: Course) -> EdgeConfig | None:
        """Answer frames by the settings that were ``asked`` for, until the feed ends; gives the
        settings to go on with, None where the run is over."""
        from splitfer.edge_client import pipeline
        from splitfer.edge_client.appliance.appliance import Appliance
        from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
        from splitfer.edge_client.recognizer import Recognizer
        from splitfer.edge_client.settings.state_folder import state_folder
        from splitfer.edge_client.sinks import output_flags
        from splitfer.edge_client.sinks.kept_pictures import KeptPictures, PurgeThread
        from splitfer.edge_client.sources.feed import Feed
        from splitfer.edge_client.sources.masks import Masks
        from splitfer.edge_client.sources.open import open_source
        from splitfer.edge_client.tracking.faces import TrackedFaces

        arguments, books = self._arguments, self._books
        config = self._weights.used_in(asked)
        if config.source is None:
            raise ConfigError(f"--source: name {KINDS}")
        output_flags.check(arguments, config, [config.source])
        purpose = stated_purpose(config.purpose, config.source) if is_live(config.source) else None
        with ExitStack() as stack:
            source = stack.enter_context(
                open_source(
                    config.source,
                    arguments.realtime,
                    config.picture_pixels,
                    config.wait_source,
                    config.rtsp_transport,
                    config.max_fps,
                    config.frozen_s,
                )
            )
            if purpose is None and source.live and source.self_paced:
                purpose = stated_purpose(config.purpose, config.source)
            recognizer = stack.enter_context(Recognizer.from_config(config))
            pictures = KeptPictures(state_folder())
            stack.enter_context(closing(PurgeThread(pictures)))
            outputs = output_flags.opened(
                arguments, config, source, lambda: recognizer.decision, pictures
            )
            kept = [
                config.output,
                *filter(None, (arguments.csv, arguments.annotate, arguments.contact_sheet)),
            ]
            appliance = stack.enter_context(
                Appliance(
                    config,
                    source,
                    recognizer,
                    outputs,
                    purpose or config.purpose,
                    list(map(str, kept)),
                    lambda: pictures.fault,
                )
            )
            if self._paused:  # other settings are no reason to watch again
                appliance.control.pause(True, "the settings before")
            live = source.live or arguments.realtime
            feed = stack.enter_context(
                Feed(source, live, idle=outputs.idle, prepare=Masks(config.masks).put_on)
            )
            tracks = TrackedFaces(config.smooth_s, config.lost_s) if source.moving else None
            books.watched(feed)
            appliance.watch(books)
            updater: Updater | None = None
            if source.live and source.self_paced:
                updater = self._weights.watched(
                    asked, books.report, course.ask, appliance.add_audit_event
                )
            if updater is not None:
                appliance.status.facts["weights"] = updater.report
            course.begin(feed, appliance.settings_refused)
            settings: EdgeConfig | None = None
            try:
                with closing(outputs), _progress(source, books.ledger) as on_frame:
                    pipeline.run(
                        feed,
                        recognizer,
                        [outputs],
                        books.ledger,
                        on_frame,
                        appliance.paused,
                        tracks,
                    )
                settings = course.turn()
            finally:
                feed.close()
                if updater is not None:
                    updater.close()
                self._paused = appliance.control.paused
                appliance.close(goes_on=settings is not None)
                books.closed(recognizer.link_counts.wire_bytes)
                self._left_out += source.skipped
                if settings is None:
                    failures = self._failures + outputs.failures
                    summary = summary_of(
                        books, config, source, recognizer, failures, self._left_out
                    )
                    summary |= appliance.report()
                    if arguments.summary:
                        outputs.attempt("summary", lambda: write_summary(arguments, summary))
                    tell(one_line(summary))
                    if books.ledger.frames and not books.ledger.faces and not config.crops:
                        tell(f"edge-client: {no_face(config)}")
                self._failures.update(outputs.failures)
        return settings

    def code(self, stopped: bool) -> int:
        """The exit code."""
        ledger = self._books.ledger
        if not self._books.balanced:
            tell(
                f"edge-client: {self._books.captured} frames captured, but {ledger.frames} "
                f"processed and {self._books.dropped} dropped: please report this"
            )
            return LOST
        if ledger.lost_frames or self._failures or self._left_out:
            return LOST
        return INTERRUPTED if stopped else OK


@contextmanager
def _progress(
    source: Source, ledger: Ledger
) -> Iterator[Callable[[Frame, Sequence[FaceAnswer]], None]]:
    """A progress line on a terminal: frames (dropped ones too), faces, answers by path."""
    from tqdm import tqdm

    bar = tqdm(total=source.frames_total, unit="frame", desc=plain_line(source.name), disable=None)

    def show(frame: Frame, _: Sequence[FaceAnswer]) -> None:
        bar.set_postfix({"faces": ledger.faces, **ledger.answers_by_path()}, refresh=False)
        bar.update(frame.index + 1 - bar.n)

    with bar:
        yield show
