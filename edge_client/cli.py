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
from typing import TYPE_CHECKING, Any

# What takes its time to import is imported where it is used: --help and a wrong flag need none.
from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.sinks import flags as output_flags
from splitfer.edge_client.source_name import KINDS
from splitfer.shared.arguments import Once, file_name
from splitfer.shared.errors import (
    ConfigError,
    ImageError,
    LinkError,
    PayloadTooLarge,
    SourceError,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.labels import LabelSet
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.log_lines import PlainLines, plain_line, traceback_lines
from splitfer.shared.prior import DEFAULT_PRIOR, UNCERTAIN_BELOW, Prior
from splitfer.shared.processor import check_processor
from splitfer.shared.standard_streams import open_standard_streams

if TYPE_CHECKING:
    from splitfer.edge_client.config import EdgeConfig
    from splitfer.edge_client.ledger import Ledger
    from splitfer.edge_client.sources.feed import Feed
    from splitfer.edge_client.sources.frame import Frame
    from splitfer.edge_client.sources.open import Source
    from splitfer.shared.contracts import FaceAnswer

# In which a server must answer `health`, and a run must have used its processor.
_ANSWER_S, _WORKS_S = 2.0, 5.0
OK, LOST, USAGE, SOURCE, WEIGHTS, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see ``edge-client --help``)."""
    closed = open_standard_streams()
    arguments = _parser().parse_args(argv)
    try:
        check_processor()
        from splitfer.edge_client.config import load_config
        from splitfer.shared.settings import printable

        config = load_config(
            arguments.config, _flags(arguments), single_pictures=arguments.command is _classify
        )
        if arguments.print_config:
            print(printable(config))
            return OK
        if "stdout" in closed and "-" in (config.output, getattr(arguments, "explain", None)):
            raise ConfigError("--output -: standard output is closed; name a file")
        handler = logging.StreamHandler()
        handler.setFormatter(PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
        code: int = arguments.command(arguments, config)
        return code
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
            print(run_works(arguments.pid, arguments.timeout_s or _WORKS_S))
        else:
            print(server_answers(config, arguments.timeout_s or _ANSWER_S))
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


# -- arguments ---------------------------------------------------------------------------------

_FLAGS = (
    "server", "policy", "objective", "min_accuracy", "max_bytes_per_s", "cascade_threshold", "rate",
    "labels", "local_model", "prior", "uncertain_below", "deadline_ms", "threads", "weights",
    "server_ca", "client_cert", "client_key", "log_level", "output", "output_max_mb", "device_id",
    "source_name", "heartbeat_s", "wait_source", "rtsp_transport", "search_side_px", "search_every",
    "crops", "view", "listen", "purpose", "privacy", "blur_faces",
)  # fmt: skip


def _flags(arguments: argparse.Namespace) -> dict[str, Any]:
    flags = {name: getattr(arguments, name, None) for name in _FLAGS}
    return {**flags, "source": getattr(arguments, "source", None)}


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
        "--source", action=Once, metavar="S",
        help="an image, a folder of images, a video file, a device index, an RTSP or HTTP URL, "
        "or 'demo'",
    )  # fmt: skip
    run.add_argument(
        "--realtime", action="store_true",
        help="read a file at its own frame rate, dropping frames like a live source",
    )  # fmt: skip
    run.add_argument(
        "--wait-source", action=argparse.BooleanOptionalAction,
        help="wait for a camera or stream that is not there yet (yes)",
    )  # fmt: skip
    run.add_argument(
        "--rtsp-transport", choices=["tcp", "udp"],
        help="how an rtsp:// address is read first; the other is tried where it refuses (tcp)",
    )  # fmt: skip
    run.add_argument(
        "--heartbeat-s", type=float, metavar="S",
        help="say that nobody is there, or the camera away, after so long without a line; "
        "0 for never (60)",
    )  # fmt: skip
    run.add_argument(
        "--purpose", metavar="WORDS",
        help="what a camera or stream watches people for: it does not start without",
    )  # fmt: skip
    run.add_argument(
        "--privacy", choices=["full", "aggregate"],
        help="tell each answer, or counts per interval alone (full)",
    )  # fmt: skip
    run.add_argument(
        "--blur-faces", action="store_true", default=None,
        help="make faces unrecognisable in pictures kept or shown",
    )  # fmt: skip
    run.add_argument(
        "--view", action="store_true", default=None,
        help="serve a live page with the picture (on http://127.0.0.1:8600/)",
    )  # fmt: skip
    run.add_argument(
        "--listen", metavar="HOST:PORT",
        help="serve health and metrics there, with --view the live page; elsewhere than on "
        "loopback a token is wanted",
    )  # fmt: skip
    output_flags.add_of_run(run)
    _common(run)

    classify = commands.add_parser("classify", help="answer single pictures")
    classify.set_defaults(command=_classify)
    classify.add_argument("images", nargs="+", metavar="IMAGE")
    _common(classify)

    health = commands.add_parser(
        "health",
        help="whether the server can be used, or a run works",
        description="Ask the server that is set, over TLS and with the certificate and token that "
        "are set; or with --pid look whether a run on this device works. Exit code 0 where it "
        "does, 1 where it does not.",
    )
    health.set_defaults(command=_health)
    health.add_argument(
        "--pid", type=int, metavar="N",
        help="whether the run that is process N uses its processor; in a container it is 1",
    )  # fmt: skip
    health.add_argument(
        "--timeout-s", type=float, metavar="S",
        help=f"in which it must answer ({_ANSWER_S:g}) or work ({_WORKS_S:g})",
    )  # fmt: skip
    _of_the_link(health)
    _of_settings(health)

    doctor = commands.add_parser(
        "doctor",
        help="look at camera, models, server, broker, clock and disk, and say what to do",
        description="Look at everything that a run with these settings needs. Exit code 0 where a "
        "run would work, 1 where it would not.",
    )
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--source", action=Once, metavar="S", help="as of run")
    doctor.add_argument("--json", action="store_true", help="one JSON line per finding")
    _of_the_link(doctor)
    _of_settings(doctor)

    bench = commands.add_parser(
        "bench",
        help="measure this device, and the settings that suit it",
        description="Measure the search, the head and the local tail on the bundled clip, with "
        "several numbers of threads and sizes of the searched picture.",
    )
    bench.set_defaults(command=_bench)
    bench.add_argument(
        "--write", type=file_name, metavar="FILE.yaml", help="write the settings to a config file"
    )
    bench.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    bench.add_argument(
        "--fps", type=_positive, default=10.0, metavar="N",
        help="frames a second that are to be answered (10)",
    )  # fmt: skip
    bench.add_argument("--frames", type=int, choices=range(1, 101), default=30, metavar="N",
                       help="frames of the clip, each time (30)")  # fmt: skip
    _of_settings(bench)
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError("expected a number above 0, at most 1000")
    return number


def _of_the_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="HOST:PORT", help="without one, answers are local")
    parser.add_argument(
        "--server-ca", type=file_name, metavar="PEM", help="use TLS and trust these"
    )
    parser.add_argument("--client-cert", type=file_name, metavar="PEM", help="shown to the server")
    parser.add_argument("--client-key", type=file_name, metavar="PEM", help="of --client-cert")


def _of_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", action=Once, type=file_name, metavar="FILE", help="settings, YAML or TOML"
    )
    parser.add_argument("--print-config", action="store_true", help="print the settings and stop")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--debug", action="store_true", help="show the whole of an error")


def _common(parser: argparse.ArgumentParser) -> None:
    output_flags.add(parser)
    _of_the_link(parser)
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
        "--local-model", metavar="NAME",
        help=f"what answers on the device: {BACKBONE}, or another model of the weights "
        f"({BACKBONE})",
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
    parser.add_argument(
        "--search-side", type=int, dest="search_side_px", metavar="PX",
        help="longer side of the picture that faces are searched in, about 80 px each: its square "
        "is the cost (run 480, classify 4096)",
    )  # fmt: skip
    parser.add_argument(
        "--search-every", type=int, metavar="N",
        help="search the whole picture in every Nth frame only, in between about the faces (1)",
    )  # fmt: skip
    parser.add_argument(
        "--crops", action="store_true", default=None,
        help="pictures are ready-cut faces: none is searched for",
    )  # fmt: skip
    parser.add_argument("--device-id", metavar="ID", help="in every record (the host name)")
    parser.add_argument("--source-name", metavar="NAME", help="in every record")
    parser.add_argument("--threads", type=int, help="of ONNX Runtime")
    parser.add_argument("--weights", type=file_name, metavar="FOLDER")
    _of_settings(parser)


if __name__ == "__main__":
    sys.exit(main())
