"""``cloud-server``: the command line."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from splitfer.cloud_server.commands.health import add_health_command, run_health
from splitfer.cloud_server.commands.models import add_models_command, run_models
from splitfer.cloud_server.commands.reload import add_reload_command, pid_in_file, run_reload
from splitfer.cloud_server.commands.running import serve_words
from splitfer.cloud_server.commands.sign import add_sign_command, run_sign
from splitfer.cloud_server.commands.token import add_token_command, run_token
from splitfer.cloud_server.config import PREFIX, CloudConfig
from splitfer.cloud_server.server.process import collecting_put_off, end_within
from splitfer.cloud_server.telemetry.logs import configure_logs, log_handler
from splitfer.shared.arguments import Once, Parser, add_setting, file_name
from splitfer.shared.errors import ConfigError, SplitFerError, WeightsError
from splitfer.shared.extras import needing
from splitfer.shared.log_lines import plain_line, traceback_lines
from splitfer.shared.settings import load_settings, peek, printable
from splitfer.shared.standard_streams import put

DONE, FAILED, USAGE, WEIGHTS, INTERRUPTED = 0, 1, 2, 4, 130
# What the loop and its libraries may take to close, once the server has stopped.
_CLOSE_S = 0.5
# Of a command's arguments, those that are settings of the server.
_SETTINGS = frozenset(CloudConfig.model_fields)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    try:
        code = run(argv)
    except (KeyboardInterrupt, BrokenPipeError):  # who read our output left
        code = INTERRUPTED
    sys.exit(code)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives 0 done, 1 refused, 2 usage or config, 4 weights."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "serve":
        return _serve(arguments)
    try:
        if arguments.command == "models":
            run_models(arguments, _settings_of(arguments))
        elif arguments.command == "reload":
            pid = arguments.pid
            run_reload(pid_in_file(_settings_of(arguments)()) if pid is None else pid)
        elif arguments.command == "health":
            run_health(_settings_of(arguments)(), arguments.live, arguments.timeout_s)
        elif arguments.command == "sign":
            run_sign(arguments)
        else:
            run_token(arguments)
    except SplitFerError as error:
        _print(error, arguments.debug)
        return _exit_code(error)
    return DONE


def _serve(arguments: argparse.Namespace) -> int:
    flags = _given(arguments)
    # Looked up before the rest is read, since errors in the rest are printed in this form too.
    json_lines = peek(PREFIX, arguments.config, flags, "log_format") == "json"
    with log_handler("json" if json_lines else "text") as handler, _early_reload() as early:
        try:
            _serve_with(arguments, handler, early)
        except SplitFerError as error:
            if json_lines:
                _tell(handler, str(error), error if arguments.debug else None)
            else:
                _print(error, arguments.debug)
            return _exit_code(error)
        except Exception as error:
            if not json_lines:
                raise
            _tell(handler, "a fault of the server itself ended it", error)
            return FAILED
    return DONE


def _serve_with(
    arguments: argparse.Namespace, handler: logging.Handler, early: threading.Event
) -> None:
    read = _settings_of(arguments)
    config = read()
    if arguments.print_config:
        put(printable(config))
        return
    configure_logs(config.log_level, handler)
    # Imported only now: --version and --print-config need no network and no gRPC.
    if config.engine == "ray":
        with needing("cloud"):
            from splitfer.cloud_server.ray_serve import engine as ray_engine

        ray_engine.serve(config)
        return
    with collecting_put_off():
        with needing("cloud"):
            import asyncio

            from splitfer.cloud_server.server.event_loop import new_event_loop
            from splitfer.cloud_server.server.server import serve

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve(config, read, early.is_set))
            end_within(_CLOSE_S)


@contextlib.contextmanager
def _early_reload() -> Iterator[threading.Event]:
    """Set by a SIGHUP that comes before there is anything to reload: it would end the process."""
    came = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: came.set())
    try:
        yield came
    finally:
        signal.signal(signal.SIGHUP, before)


def _print(error: SplitFerError, with_traceback: bool) -> None:
    if with_traceback:
        print(traceback_lines(error), file=sys.stderr)
    print(plain_line(f"cloud-server: {error}"), file=sys.stderr)


def _tell(handler: logging.Handler, message: str, error: Exception | None) -> None:
    """A line of the log before, or instead of, the log."""
    cause = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("splitfer.cloud_server", logging.ERROR, "", 0, message, None, cause)
    handler.handle(record)


def _exit_code(error: SplitFerError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return WEIGHTS if isinstance(error, WeightsError) else FAILED


def _settings_of(arguments: argparse.Namespace) -> Callable[[], CloudConfig]:
    """Reads the settings that a command's arguments name, or with ``--pid`` a running server's.

    Raises:
        ConfigError: there is no such server.
    """
    files = [arguments.config]
    flags: dict[str, Any] = {}
    if getattr(arguments, "pid", None) is not None:
        started = _parser().parse_args(["serve", *serve_words(arguments.pid, PREFIX)])
        files.append(started.config)
        flags |= _given(started)
    flags |= _given(arguments)
    return partial(load_settings, CloudConfig, PREFIX, next(filter(None, files), None), flags)


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(arguments).items()
        if name in _SETTINGS and value is not None
    }


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="cloud-server", description="The cloud side of SplitFER: gRPC and REST.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="serve|health|models|reload|sign|token"
    )
    serve = commands.add_parser(
        "serve",
        help="listen and answer",
        description="Listen on gRPC and HTTP and answer until SIGTERM or SIGINT, then drain. "
        f"Settings come from --config, then {PREFIX}* variables, then these flags; "
        "--print-config shows every setting.",
    )
    serve.add_argument(
        "--config", action=Once, type=file_name, metavar="FILE", help="settings, YAML or TOML"
    )
    add = partial(add_setting, serve, CloudConfig)
    add("--engine", choices=["process", "ray"])
    add("--host")
    add("--grpc-port", type=int, metavar="PORT")
    add("--http-port", type=int, metavar="PORT")
    add("--weights", type=file_name, action="append", metavar="FOLDER")
    add("--weights-root", type=file_name, action="append", metavar="FOLDER")
    add("--watch", type=file_name, metavar="FOLDER")
    add("--tail", metavar="ID")
    add("--threads", type=int, metavar="N")
    add("--log-level", choices=["debug", "info", "warning", "error"])
    add("--log-format", choices=["text", "json"])
    serve.add_argument("--print-config", action="store_true", help="show the settings and exit")
    serve.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_health_command(commands)
    add_models_command(commands)
    add_reload_command(commands)
    add_sign_command(commands)
    add_token_command(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from splitfer.shared.version import server_version

        print(f"cloud-server {server_version()}")
        parser.exit(DONE)


if __name__ == "__main__":
    main()
