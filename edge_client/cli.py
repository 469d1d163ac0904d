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
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edge_client import pipeline
from edge_client.config import EdgeConfig, Objective, Policy, load_config
from edge_client.ledger import Ledger
from edge_client.recognizer import PICTURE_DEADLINE_MS, Recognizer
from edge_client.sinks import output_flags
from edge_client.sources.feed import Feed
from edge_client.sources.frame import Frame
from edge_client.sources.open import Source, open_source
from shared.contracts import FaceAnswer
from shared.errors import (
    ConfigError,
    ImageError,
    PayloadTooLarge,
    SourceError,
    SplitFerError,
    WeightsError,
)
from shared.labels import LabelSet
from shared.prior import DEFAULT_PRIOR, Prior
from shared.settings import printable
from shared.vision.quality import UNCERTAIN_BELOW
from shared.whole_file import write_whole

OnFrame = Callable[[Frame, Sequence[FaceAnswer]], None]
OK, LOST, USAGE, SOURCE, WEIGHTS, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see ``edge-client --help``)."""
    arguments = _parser().parse_args(argv)
    try:
        config = load_config(arguments.config, _flags(arguments))
        if arguments.print_config:
            print(printable(config))
            return OK
        logging.basicConfig(
            level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        code: int = arguments.command(arguments, config)
        return code
    except SplitFerError as error:
        if arguments.debug:
            raise
        print(f"edge-client: {error}", file=sys.stderr)
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
    output_flags.check(arguments, config, [arguments.source])
    with ExitStack() as stack:
        source = stack.enter_context(open_source(arguments.source, arguments.realtime))
        recognizer = stack.enter_context(Recognizer.from_config(config))
        outputs = output_flags.opened(arguments, config, source.fps, lambda: recognizer.decision)
        feed = stack.enter_context(Feed(source, live=source.live or arguments.realtime))
        stopped = stack.enter_context(_stops(feed))
        ledger = Ledger()
        try:
            with closing(outputs), _progress(source, ledger) as on_frame:
                pipeline.run(feed, recognizer, [outputs], ledger, on_frame)
        finally:
            feed.close()
            summary = ledger.summary(feed.dropped, recognizer.link_counts.wire_bytes)
            summary["link"] = recognizer.link_report()
            summary["policy"] = {"name": config.wanted.value, **recognizer.policy_report()}
            summary["output_failures"] = dict(outputs.failures)
            if arguments.summary:
                outputs.attempt("summary", lambda: _write_summary(arguments, summary))
            _tell(_one_line(summary))
        if not ledger.balanced(feed.captured, feed.dropped):
            _tell(
                f"edge-client: {feed.captured} frames captured, but {ledger.frames} processed and "
                f"{feed.dropped} dropped: please report this"
            )
            return LOST
    if ledger.lost_frames or outputs.failures:
        return LOST
    return INTERRUPTED if stopped else OK


def _write_summary(arguments: argparse.Namespace, summary: dict[str, Any]) -> None:
    data = json.dumps(summary, indent=2).encode() + b"\n"
    write_whole(arguments.summary, data, arguments.overwrite)


def _tell(line: str) -> None:
    """A line on standard error; a terminal that was closed meanwhile is no reason to fail."""
    with suppress(OSError):
        print(line, file=sys.stderr)


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
def _progress(source: Source, ledger: Ledger) -> Iterator[OnFrame]:
    """A progress line on a terminal: frames (dropped ones too), faces, answers by path."""
    bar = tqdm(total=source.frames_total, unit="frame", desc=source.name, disable=None)

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
    )


# -- classify ----------------------------------------------------------------------------------


def _classify(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    output_flags.check(arguments, config, arguments.images)
    bad: SplitFerError | None = None
    with (
        Recognizer.from_config(config) as recognizer,
        closing(output_flags.opened(arguments, config)) as outputs,
    ):
        for image in arguments.images:
            try:
                with open_source(image) as source:
                    for frame in source:
                        faces = recognizer.answer(frame.rgb, frame.decoded_s)
                        outputs.write(frame, faces)
                        if not faces:
                            print(f"edge-client: {frame.source}: no face found", file=sys.stderr)
            except (SourceError, ImageError, PayloadTooLarge) as error:
                print(f"edge-client: {error}", file=sys.stderr)
                bad = error
    if bad:
        return _exit_code(bad)
    return LOST if outputs.failures else OK


# -- arguments ---------------------------------------------------------------------------------

_FLAGS = (
    "server", "policy", "objective", "min_accuracy", "max_bytes_per_s", "cascade_threshold", "rate",
    "labels", "prior", "uncertain_below", "deadline_ms", "threads", "weights", "server_ca",
    "client_cert", "client_key", "log_level", "output_max_mb",
)  # fmt: skip


def _flags(arguments: argparse.Namespace) -> dict[str, Any]:
    flags = {name: getattr(arguments, name) for name in _FLAGS}
    if arguments.command is _classify and flags["deadline_ms"] is None:
        flags["deadline_ms"] = PICTURE_DEADLINE_MS
    return flags


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-client",
        description="Name the expression of every face in a stream or a picture.",
        epilog="exit codes: 0 done, 1 something was lost, 2 usage or config, 3 source, 4 weights, "
        "130 interrupted (the outputs are whole)",
    )
    parser.add_argument("--version", action="version", version=version("splitfer"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="answer every frame of a source")
    run.set_defaults(command=_run)
    run.add_argument(
        "--source", required=True, metavar="S",
        help="an image, a folder of images, a video file, a device index, an RTSP or HTTP URL, "
        "or 'demo'",
    )  # fmt: skip
    run.add_argument(
        "--realtime", action="store_true",
        help="read a file at its own frame rate, dropping frames like a live source",
    )  # fmt: skip
    output_flags.add_of_run(run)
    _common(run)

    classify = commands.add_parser("classify", help="answer single pictures")
    classify.set_defaults(command=_classify)
    classify.add_argument("images", nargs="+", metavar="IMAGE")
    _common(classify)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    output_flags.add(parser)
    parser.add_argument("--server", metavar="HOST:PORT", help="without one, answers are local")
    parser.add_argument(
        "--policy", choices=[one.value for one in Policy],
        help="who answers (auto where there is a server)",
    )  # fmt: skip
    parser.add_argument(
        "--objective", choices=[one.value for one in Objective],
        help="what auto looks for among the ways that are in time (accuracy)",
    )  # fmt: skip
    parser.add_argument("--min-accuracy", type=float, metavar="SHARE", help="of objective bytes")
    parser.add_argument("--max-bytes-per-s", type=float, metavar="N", help="cap on what auto sends")
    parser.add_argument(
        "--cascade-threshold", type=float, metavar="P",
        help="confidence below which policy cascade asks the server",
    )  # fmt: skip
    parser.add_argument(
        "--rate", metavar="NAME", help="how fine latents are sent (the weights' own)"
    )
    parser.add_argument(
        "--labels", choices=[one.value for one in LabelSet],
        help="whose labels the answers are: what ten people said of each picture, or FER2013's "
        "single one (the weights' own)",
    )  # fmt: skip
    parser.add_argument(
        "--prior", choices=[one.value for one in Prior],
        help="how common the classes are taken to be: as in training, or all alike "
        f"({DEFAULT_PRIOR.value})",
    )  # fmt: skip
    parser.add_argument(
        "--uncertain-below", type=float, metavar="P",
        help=f"confidence below which an answer is marked uncertain ({UNCERTAIN_BELOW})",
    )  # fmt: skip
    parser.add_argument("--deadline-ms", type=float, metavar="MS", help="per frame, detection too")
    parser.add_argument("--threads", type=int, help="of ONNX Runtime")
    parser.add_argument("--weights", type=Path, metavar="FOLDER")
    parser.add_argument("--server-ca", type=Path, metavar="PEM", help="use TLS and trust these")
    parser.add_argument("--client-cert", type=Path, metavar="PEM", help="shown to the server")
    parser.add_argument("--client-key", type=Path, metavar="PEM", help="of --client-cert")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, YAML or TOML")
    parser.add_argument("--print-config", action="store_true", help="print the settings and stop")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--debug", action="store_true", help="show the whole of an error")


if __name__ == "__main__":
    sys.exit(main())
