"""The log's lines and the ids in them."""

import asyncio
import json
import logging
import subprocess
import sys
from contextvars import copy_context

import pytest

from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.cloud_server.telemetry.logs import JsonLines, Text
from splitfer.cloud_server.telemetry.request import Request, bind, request_id
from splitfer.shared.deadline import Deadline


def line(formatter: logging.Formatter, message: str, *arguments: object, **more: object) -> str:
    record = logging.LogRecord(
        "splitfer.cloud_server", logging.WARNING, "f.py", 1, message, arguments, None
    )
    record.__dict__.update(more)
    return formatter.format(record)


def in_request(formatter: logging.Formatter, message: str) -> str:
    def write() -> str:
        bind(Request("http", "GET /v1/model", "abc-1", trace_id="0af7"))
        return line(formatter, message)

    return copy_context().run(write)


def test_json_is_one_line_whatever_is_said() -> None:
    said = line(JsonLines(), 'two\nlines and "%s"', "quotes")
    assert "\n" not in said
    told = json.loads(said)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "logger": "splitfer.cloud_server",
        "message": 'two\nlines and "quotes"',
    }


def test_json_has_the_request_and_its_trace() -> None:
    told = json.loads(in_request(JsonLines(), "a face failed"))
    assert told["request_id"] == "abc-1"
    assert told["trace_id"] == "0af7"


def test_json_keeps_the_traceback() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        told = json.loads(line(JsonLines(), "it failed", exc_info=sys.exc_info()))
    assert told["message"] == "it failed"
    assert "ValueError: why" in told["exception"]


def test_text_has_the_request() -> None:
    text = Text("%(levelname)s %(name)s:%(request)s %(message)s")
    assert in_request(text, "hello") == "WARNING splitfer.cloud_server: [abc-1] hello"
    assert line(text, "hello") == "WARNING splitfer.cloud_server: hello"


def test_what_others_write_is_json_too() -> None:
    code = """
import logging, os, subprocess, sys, warnings
from splitfer.cloud_server.telemetry.logs import configure_logs, log_handler
with log_handler("json") as handler:
    configure_logs("error", handler)
    logging.getLogger("ours").error("a line of ours")
    os.write(2, b"E0000 a library in C\\n\\n")
    subprocess.run(["sh", "-c", "printf '\\\\033[36m(a worker)\\\\033[0m half a line' >&2"])
    warnings.warn("deprecated")
    print("from print", file=sys.stderr)
os.write(2, b"after it\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    *lines, last = done.stderr.splitlines()
    assert last == "after it"
    told = [json.loads(line) for line in lines]
    assert told[0]["logger"] == "ours"
    others = "\n".join(one["message"] for one in told if one["logger"] == "stderr")
    for part in ("E0000 a library in C", "(a worker) half a line", "deprecated", "from print"):
        assert part in others
    assert "\x1b" not in others


def test_a_closed_error_output_is_no_error() -> None:
    code = """
from splitfer.cloud_server.telemetry.logs import configure_logs, log_handler
with log_handler("json") as handler:
    configure_logs("info", handler)
print("fine")
"""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "fine\n"


@pytest.mark.parametrize("given", ["a", "7f3c-12", "550e8400-e29b-41d4-a716-446655440000"])
def test_well_formed_ids_are_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "a b", "a\nb", "-a", "ä", "x" * 65, '"'])
def test_others_are_replaced(given: str | None) -> None:
    made = request_id(given)
    assert made != given
    assert request_id(made) == made
    assert request_id(given) != made


async def test_a_face_that_fails_among_others_is_logged_with_its_own_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run(items: list[str]) -> list[str]:
        if "poison" in items:
            raise ValueError("poison")
        return items

    async def ask(number: int, item: str) -> None:
        bind(Request("grpc", "splitfer.v1.SplitFer/Infer", f"id-{number}"))
        await asyncio.wait([batcher.submit(item, Deadline.after_ms(60_000))])

    caplog.handler.setFormatter(JsonLines())
    batcher: Batcher[str, str] = Batcher(run, batch_max=4, queue_max=4)
    asked = [asyncio.create_task(ask(n, item)) for n, item in enumerate(("fine", "poison"))]
    batcher.start()
    await asyncio.wait(asked)
    await batcher.close()
    lines = [json.loads(one) for one in caplog.text.split("\n") if one.startswith("{")]
    (told,) = [one for one in lines if one["level"] == "error"]
    assert told["message"] == "a face failed in the network"
    assert told["request_id"] == "id-1"
