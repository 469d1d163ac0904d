"""``edge-client run``: frames of a source to answers, until it ends or somebody says stop."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from splitfer.edge_client.commands.telling import INTERRUPTED, LOST, OK, no_face, tell
from splitfer.edge_client.source_name import KINDS
from splitfer.shared.errors import ConfigError
from splitfer.shared.log_lines import plain_line

if TYPE_CHECKING:
    from splitfer.edge_client.config import EdgeConfig
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.frame import Frame
    from splitfer.edge_client.sources.open import Source
    from splitfer.shared.contracts import FaceAnswer


def run(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    """Gives the exit code.

    Raises:
        SplitFerError: it cannot begin, or its source broke for good.
    """
    from splitfer.edge_client import pipeline
    from splitfer.edge_client.appliance.appliance import Appliance
    from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.recognizer import Recognizer
    from splitfer.edge_client.sinks import output_flags
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.open import open_source
    from splitfer.edge_client.tracking.faces import TrackedFaces

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
            )
        )
        if purpose is None and source.live and source.self_paced:
            purpose = stated_purpose(config.purpose, config.source)
        recognizer = stack.enter_context(Recognizer.from_config(config))
        outputs = output_flags.opened(arguments, config, source, lambda: recognizer.decision)
        kept = [
            config.output,
            *filter(None, (arguments.csv, arguments.annotate, arguments.contact_sheet)),
        ]
        appliance = stack.enter_context(
            Appliance(
                config, source, recognizer, outputs, purpose or config.purpose, list(map(str, kept))
            )
        )
        live = source.live or arguments.realtime
        feed = stack.enter_context(Feed(source, live, idle=outputs.idle))
        stopped = stack.enter_context(_stops(feed))
        ledger = Ledger()
        tracks = TrackedFaces(config.smooth_s, config.lost_s) if source.moving else None
        appliance.watch(feed, ledger)
        try:
            with closing(outputs), _progress(source, ledger) as on_frame:
                pipeline.run(
                    feed, recognizer, [outputs], ledger, on_frame, appliance.paused, tracks
                )  # fmt: skip
        finally:
            feed.close()
            appliance.close()
            summary = ledger.summary(feed.dropped, recognizer.link_counts.wire_bytes)
            summary["link"] = recognizer.link_report()
            summary["policy"] = {"name": config.wanted.value, **recognizer.policy_report()}
            summary |= appliance.report()
            summary["output_failures"] = dict(outputs.failures)
            summary["source"] = {
                "name": source.name, "left_out": source.skipped, "reopened": source.reopened,
            }  # fmt: skip
            if arguments.summary:
                outputs.attempt("summary", lambda: _write_summary(arguments, summary))
            tell(_one_line(summary))
            if ledger.frames and not ledger.faces and not config.crops:
                tell(f"edge-client: {no_face(config.search_side_px)}")
        if not ledger.balanced(feed.captured, feed.dropped):
            tell(
                f"edge-client: {feed.captured} frames captured, but {ledger.frames} processed and "
                f"{feed.dropped} dropped: please report this"
            )
            return LOST
    if ledger.lost_frames or outputs.failures or source.skipped:
        return LOST
    return INTERRUPTED if stopped else OK


def _write_summary(arguments: argparse.Namespace, summary: dict[str, Any]) -> None:
    from splitfer.shared.whole_file import write_whole

    data = json.dumps(summary, indent=2).encode() + b"\n"
    write_whole(arguments.summary, data, arguments.overwrite)


@contextmanager
def _stops(feed: Feed) -> Iterator[list[int]]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the feed, so that the frame in hand is still
    answered and the outputs are whole; a second Ctrl-C or SIGTERM interrupts at once. Holds the
    signals that came."""
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        # A terminal that closes may say so twice, to the process and to its group.
        if came and number != signal.SIGHUP:
            raise KeyboardInterrupt
        came.append(number)
        feed.close()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _one_line(summary: dict[str, Any]) -> str:
    paths = ", ".join(f"{path} {n}" for path, n in summary["by_path"].items() if n)
    return (
        f"{summary['frames']} frames ({summary['dropped_frames']} dropped), {summary['faces']} "
        f"faces, {summary['answered']} answered ({paths or 'none'}), {summary['failed']} failed, "
        f"{summary['seconds']:.1f} s"
        + (f", {left_out} pictures left out" if (left_out := summary["source"]["left_out"]) else "")
    )
