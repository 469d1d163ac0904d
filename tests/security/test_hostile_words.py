"""Words of others, in logs and on an operator's terminal."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server import cli as cloud_cli
from splitfer.cloud_server.telemetry.logs import JsonLines, Text
from splitfer.edge_client.cli import main
from splitfer.shared.log_lines import LONGEST_LINE, PlainLines
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import (
    SplitFerServicer,
    add_SplitFerServicer_to_server,
)
from tests.integration.cloud_process import clean_environment

FORGED = "2026-01-01 00:00:00,000 ERROR splitfer: the disk was wiped"
HOSTILE = f"me\r\n{FORGED}\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"


def is_plain(text: str) -> bool:
    """Whether nothing of ``text`` controls a terminal, and no line begins as a forged one."""
    lines = text.splitlines()
    return all(one.isprintable() for one in lines) and not any(
        one.startswith(FORGED[:30]) for one in lines
    )


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    cause = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("l", logging.INFO, "f", 1, "a face of %s", (message,), cause)


@given(st.text(st.characters(codec=None), max_size=200))
def test_a_record_is_one_line_whatever_it_quotes(words: str) -> None:
    for formatter in (PlainLines("%(message)s"), Text("%(request)s%(message)s")):
        (line,) = formatter.format(record(words)).split("\n")
        assert line.isprintable()
    (line,) = JsonLines().format(record(words)).split("\n")
    assert line.isascii()


def test_nobody_fills_the_disk_with_one_line() -> None:
    assert len(PlainLines("%(message)s").format(record("x" * 10**6))) <= LONGEST_LINE
    assert len(JsonLines().format(record("x" * 10**6))) <= LONGEST_LINE + 200


def test_a_traceback_does_not_pass_for_lines_of_the_log() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        text = PlainLines("%(asctime)s %(message)s").format(record("it", error))
    first, *rest = text.splitlines()
    assert "ValueError" in text
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert first.isprintable()


# --- At the edge


class Refusing(SplitFerServicer):  # type: ignore[misc]  # generated without types
    def GetModel(self, request: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, HOSTILE)


@pytest.fixture
def refusing() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_SplitFerServicer_to_server(Refusing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_servers_refusal_at_the_edge(refusing: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "splitfer.edge_client.cli", "run", "--source", "demo"]
    words = ["--server", refusing, "--output", str(tmp_path / "a.jsonl"), "--log-level", "debug"]
    done = subprocess.run(
        [*command, *words, "--search-side", "120"],
        env=clean_environment(),
        capture_output=True,
        timeout=60,
    )
    told = done.stderr.decode()
    assert done.returncode == 0
    assert "the disk was wiped" in told, "the words of the server are shown"
    assert is_plain(told)


@pytest.mark.parametrize("words", [[], ["--debug"]])
def test_a_files_name_at_the_edge(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / f"{HOSTILE}.jpg"
    picture.write_bytes(b"\xff\xd8\xff no picture")
    assert main(["classify", str(picture), *words]) != 0
    told = capfd.readouterr().err
    assert "the disk was wiped" in told
    assert is_plain(told)


# --- At the server, and at its operator's terminal


def test_a_folders_name_at_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    assert cloud_cli.run(["serve", "--weights", str(folder), "--debug"]) == 4
    told = capsys.readouterr().err
    assert "the disk was wiped" in told
    assert is_plain(told)


Answering = Callable[[bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """An HTTP server that answers everything with one body."""
    servers = []

    def start(body: bytes) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                with suppress(ConnectionError):  # it is not read to its end
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


MODEL = {"fingerprint": "f", "state": "ready", "tails": ["cloud"], "folder": HOSTILE}


def test_an_admin_servers_words(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    url = answering(json.dumps({"models": [MODEL]}).encode())
    assert cloud_cli.run(["models", "--url", url, "list"]) == 0
    told = capsys.readouterr().out
    assert "the disk was wiped" in told
    assert is_plain(told)


@pytest.mark.parametrize(
    "body",
    [
        b'{"models": "' + b"x" * (5 * 2**20) + b'"}',
        b"[" * 200_000,
        b'{"models": [{"fingerprint": ' + b"1" * 10_000 + b"}]}",
        b'{"models": [{}]}',
        b'{"models": {"a": 1}}',
        b"\xff\xfe",
    ],
    ids=["too long", "deep", "a long number", "empty", "another shape", "no text"],
)
def test_an_admin_server_that_answers_nonsense(
    body: bytes, answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloud_cli.run(["models", "--url", answering(body), "list"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) < 500
    assert "not as this server does" in line or "never does" in line
