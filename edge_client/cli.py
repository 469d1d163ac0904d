"""``edge-client``: answer a stream of frames, or single pictures."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

# What takes its time to import is imported where it is used: --help and a wrong flag need none.
from splitfer.edge_client.arguments import ANSWER_S, WORKS_S, given_flags, make_parser
from splitfer.edge_client.source_name import KINDS
from splitfer.shared.errors import (
    ConfigError,
    ImageError,
    LinkError,
    PayloadTooLarge,
    SourceError,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.log_lines import PlainLines, plain_line, traceback_lines
from splitfer.shared.processor import check_processor
from splitfer.shared.standard_streams import open_standard_streams

if TYPE_CHECKING:
    from splitfer.edge_client.config import EdgeConfig
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.frame import Frame
    from splitfer.edge_client.sources.open import Source
    from splitfer.shared.contracts import FaceAnswer

OK, LOST, USAGE, SOURCE, WEIGHTS, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see ``edge-client --help``)."""
    closed = open_standard_streams()
    arguments = make_parser().parse_args(argv)
    try:
        check_processor()
        from splitfer.edge_client.config import load_config
        from splitfer.shared.settings import printable

        config = load_config(
            arguments.config,
            given_flags(arguments),
            single_pictures=arguments.command == "classify",
        )
        if arguments.print_config:
            print(printable(config))
            return OK
        if "stdout" in closed and "-" in (config.output, getattr(arguments, "explain", None)):
            raise ConfigError("--output -: standard output is closed; name a file")
        handler = logging.StreamHandler()
        handler.setFormatter(PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
        return _COMMANDS[arguments.command](arguments, config)
    except SplitFerError as error:
        if arguments.debug:
            _show(traceback_lines(error))
        _tell(f"edge-client: {error}")
        return _exit_code(error)
    except BrokenPipeError:
        # The reader of our output left; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED


def _exit_code(error: SplitFerError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return WEIGHTS if isinstance(error, WeightsError) else SOURCE


# -- run ---------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client import pipeline
    from splitfer.edge_client.appliance import Appliance
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.purpose import is_live, stated_purpose
    from splitfer.edge_client.recognizer import Recognizer
    from splitfer.edge_client.sinks import output_flags
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.masks import Masks
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
                config.max_fps,
                config.frozen_s,
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
        feed = stack.enter_context(
            Feed(source, live, idle=outputs.idle, prepare=Masks(config.masks).put_on)
        )
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
            _tell(_one_line(summary))
            if ledger.frames and not ledger.faces and not config.crops:
                _tell(f"edge-client: {_no_face(config.search_side_px)}")
        if not ledger.balanced(feed.captured, feed.dropped):
            _tell(
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


def _tell(line: str) -> None:
    """A line on standard error, in which names of files and others' words are made fit for it."""
    _show(plain_line(line))


def _show(text: str) -> None:
    """A terminal that was closed meanwhile is no reason to fail."""
    with suppress(OSError):
        print(text, file=sys.stderr)


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


def _no_face(searched_px: int) -> str:
    """What may be done where nobody is found."""
    return f"no face found (searched at {searched_px} px: --search-side; ready-cut faces: --crops)"


# -- classify ----------------------------------------------------------------------------------


def _classify(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.recognizer import Recognizer
    from splitfer.edge_client.sinks import output_flags
    from splitfer.edge_client.sources.open import open_source

    output_flags.check(arguments, config, arguments.images)
    bad: SplitFerError | None = None
    answered = left_out = 0
    with (
        Recognizer.from_config(config) as recognizer,
        closing(output_flags.opened(arguments, config)) as outputs,
    ):
        for image in arguments.images:
            try:
                with open_source(image, picture_pixels=config.picture_pixels) as source:
                    for frame in source:
                        faces = recognizer.answer(frame.rgb, frame.decoded_s)
                        outputs.write(frame, faces)
                        answered += 1
                        if not faces:
                            hint = _no_face(config.search_side_px)
                            _tell(f"edge-client: {frame.source}: {hint}")
                    left_out += source.skipped
            except (SourceError, ImageError, PayloadTooLarge) as error:
                _tell(f"edge-client: {error}")
                left_out += 1
                bad = error
    if left_out and answered:
        _tell(f"edge-client: {left_out} left out, {answered} answered")
        return LOST
    if bad:
        return _exit_code(bad)
    return LOST if outputs.failures else OK


# -- health ------------------------------------------------------------------------------------


def _health(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.health import run_works, server_answers

    try:
        if arguments.pid is not None:
            print(run_works(arguments.pid, arguments.timeout_s or WORKS_S))
        else:
            print(server_answers(config, arguments.timeout_s or ANSWER_S))
    except (SourceError, LinkError) as error:
        _tell(f"edge-client: {error}")
        return LOST
    return OK


# -- doctor ------------------------------------------------------------------------------------


def _doctor(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.doctor import as_lines, as_record, findings, worst_is_bad

    found = []
    for one in findings(config):
        print(as_record(one) if arguments.json else as_lines(one), flush=True)
        found.append(one)
    return LOST if worst_is_bad(found) else OK


# -- bench -------------------------------------------------------------------------------------


def _bench(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    import time

    from splitfer.edge_client import device_bench as bench
    from splitfer.shared.whole_file import write_whole

    frames = bench.frames_of_clip(arguments.frames)
    print(bench.heading())
    found = []
    for one in bench.measurements(
        config,
        lambda of, threads, side_px: bench.measure(of, threads, side_px, frames, time.monotonic),
    ):
        print(bench.as_line(one), flush=True)
        found.append(one)
    settings = bench.recommended(found, 1000 / arguments.fps)
    print(*(f"{key}: {value}" for key, value in settings.items()), sep="\n")
    if arguments.write:
        try:
            text = bench.as_yaml(settings, found)
            write_whole(arguments.write, text.encode(), arguments.overwrite)
        except FileExistsError:
            raise ConfigError(
                f"--write {arguments.write}: it exists; --overwrite replaces it"
            ) from None
        except OSError as error:
            raise ConfigError(f"--write {arguments.write}: {error.strerror}") from error
    return OK


_COMMANDS: dict[str, Callable[[argparse.Namespace, EdgeConfig], int]] = {
    "run": _run,
    "classify": _classify,
    "health": _health,
    "doctor": _doctor,
    "bench": _bench,
}


if __name__ == "__main__":
    sys.exit(main())
