"""``edge-client``: answer a stream of frames, or single pictures."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

# What takes its time to import is imported where it is used: --help and a wrong flag need none.
from splitfer.edge_client.arguments import ANSWER_S, WORKS_S, given_flags, make_parser
from splitfer.edge_client.commands.telling import (
    INTERRUPTED,
    LOST,
    OK,
    SOURCE,
    USAGE,
    WEIGHTS,
    no_face,
    show,
    tell,
)
from splitfer.shared.errors import (
    ConfigError,
    ImageError,
    LinkError,
    OutputError,
    PayloadTooLarge,
    SourceError,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.log_lines import PlainLines, traceback_lines
from splitfer.shared.processor import check_processor
from splitfer.shared.standard_streams import open_standard_streams, put

if TYPE_CHECKING:
    from splitfer.edge_client.config import EdgeConfig

_MEMORY = "end other programs, or lower search_side_px and threads"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see ``edge-client --help``)."""
    closed = open_standard_streams()
    arguments = make_parser().parse_args(argv)
    try:
        check_processor()
        from splitfer.edge_client.config import load_config
        from splitfer.shared.settings import printable

        if variables := getattr(arguments, "env_file", None):
            from splitfer.edge_client.settings.variables_file import take_variables

            take_variables(variables)
        config = load_config(
            arguments.config,
            given_flags(arguments),
            single_pictures=arguments.command == "classify",
        )
        if arguments.print_config:
            put(printable(config))
            return OK
        if "stdout" in closed and "-" in (config.output, getattr(arguments, "explain", None)):
            raise ConfigError("--output -: standard output is closed; name a file")
        handler = logging.StreamHandler()
        handler.setFormatter(PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
        return _COMMANDS[arguments.command](arguments, config)
    except SplitFerError as error:
        if arguments.debug:
            show(traceback_lines(error))
        tell(f"edge-client: {error}")
        return _exit_code(error)
    except MemoryError as error:
        if arguments.debug:
            show(traceback_lines(error))
        tell(f"edge-client: out of memory; {_MEMORY}")
        return LOST
    except BrokenPipeError:
        # The reader of our output left; Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED


def _exit_code(error: SplitFerError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    if isinstance(error, OutputError):
        return LOST
    return WEIGHTS if isinstance(error, WeightsError) else SOURCE


# -- run ---------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.commands.run import run

    return run(arguments, config)


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
                            hint = no_face(config)
                            tell(f"edge-client: {frame.source}: {hint}")
                    left_out += source.skipped
            except (SourceError, ImageError, PayloadTooLarge) as error:
                tell(f"edge-client: {error}")
                left_out += 1
                bad = error
    if left_out and answered:
        tell(f"edge-client: {left_out} left out, {answered} answered")
        return LOST
    if bad:
        return _exit_code(bad)
    return LOST if outputs.failures else OK


# -- health ------------------------------------------------------------------------------------


def _health(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.commands.health import run_says, run_works, server_answers

    try:
        if arguments.pid is not None:
            put(run_works(arguments.pid, arguments.timeout_s or WORKS_S))
        elif arguments.run or config.server is None:
            put(run_says(config, arguments.timeout_s or ANSWER_S))
        else:
            put(server_answers(config, arguments.timeout_s or ANSWER_S))
    except (SourceError, LinkError) as error:
        tell(f"edge-client: {error}")
        return LOST
    return OK


# -- doctor ------------------------------------------------------------------------------------


def _doctor(arguments: argparse.Namespace, config: EdgeConfig) -> int:
    from splitfer.edge_client.commands.doctor import as_lines, as_record, findings, worst_is_bad

    found = []
    for one in findings(config):
        put(as_record(one) if arguments.json else as_lines(one))
        found.append(one)
    return LOST if worst_is_bad(found) else OK


# -- bench -------------------------------------------------------------------------------------


def _bench(arguments: argparse.Namespace, asked: EdgeConfig) -> int:
    import time

    from splitfer.edge_client.commands import bench
    from splitfer.edge_client.settings.state_folder import state_folder
    from splitfer.edge_client.sinks.output_files import Output, check_outputs
    from splitfer.edge_client.updates.fetched_weights import FetchedWeights
    from splitfer.shared.whole_file import write_whole

    if arguments.write:  # before minutes are spent on it
        write = Output("--write", str(arguments.write))
        check_outputs([write], [], arguments.overwrite)
    config = FetchedWeights(state_folder() / "weights").looked_at_in(asked)
    frames = bench.frames_of_clip(arguments.frames)
    put(bench.heading())
    found = []
    for one in bench.measurements(
        config,
        lambda of, threads, side_px: bench.measure(of, threads, side_px, frames, time.monotonic),
        bench.models_as_good(config),
    ):
        put(bench.as_line(one))
        found.append(one)
    settings = bench.recommended(found, 1000 / arguments.fps)
    put("\n".join(f"{key}: {value}" for key, value in settings.items()))
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
