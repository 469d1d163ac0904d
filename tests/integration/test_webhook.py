"""Posts to a real HTTP server that is away, slow, full or fussy."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.sinks import reader, webhook
from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.webhook import READER, SIGNATURE, Webhook, signature
from splitfer.edge_client.web_address import parse_web_address
from splitfer.shared.certificates import read_certificates
from tests import certificates
from tests.processes import free_port, wait_until

SECRET = b"only for this test"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr(reader, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(webhook, "_LOOK_EVERY_S", 0.02)


class Hook:
    """An HTTP server on ``port`` that keeps what it is posted; ``status`` says what it answers."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.status: Callable[[list[Any]], int] = lambda _: 200
        self.headers: dict[str, str] = {}
        self.hangs_up = False
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers = json.loads(body)["answers"]
                hook.posts.append(({**self.headers, "path": self.path}, body))
                status = hook.status(answers)
                if 200 <= status < 300:
                    hook.taken += answers
                self.send_response(status)
                for name, value in hook.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.close_connection = hook.hangs_up  # and does not say so

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def numbers(self) -> list[int]:
        return [one["n"] for one in self.taken]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "o.db", [READER])) as outbox:
        yield outbox


def put(outbox: Outbox, *numbers: int) -> None:
    outbox.put([b'{"n": %d}' % number for number in numbers])


def posting(outbox: Outbox, port: int, **more: Any) -> Any:
    address = parse_web_address(f"http://127.0.0.1:{port}/hook?key=s3cret")
    return closing(Webhook(address, outbox, SECRET, version="1", **more))


def test_posts_are_signed_and_in_order(outbox: Outbox) -> None:
    port = free_port()
    with closing(Hook(port)) as hook, posting(outbox, port):
        for number in range(30):
            put(outbox, number)
        wait_until(lambda: len(hook.taken) == 30, "the answers")
        wait_until(lambda: outbox.count(READER) == 0, "the books")
    assert hook.numbers() == list(range(30))
    assert not any(one["late"] for one in hook.taken)
    for headers, body in hook.posts:
        assert headers["path"] == "/hook?key=s3cret"
        at, mac = (part[2:] for part in headers[SIGNATURE].replace("v1=", "v=").split(","))
        right = hmac.new(SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert mac == right


def test_the_signature_is_of_time_and_body() -> None:
    one = signature(SECRET, 1, b"{}")
    assert len({one, signature(SECRET, 2, b"{}"), signature(b"", 1, b"{}")}) == 3


def test_what_waited_for_a_hook_that_was_away_is_late(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with posting(outbox, port) as hook_sink:
        put(outbox, *range(120))
        wait_until(lambda: hook_sink.fault is not None, "the fault")
        with closing(Hook(port)) as hook:
            wait_until(lambda: outbox.count(READER) == 0, "what waited")
            put(outbox, 120)
            wait_until(lambda: outbox.count(READER) == 0, "what is new")
            assert hook.numbers() == list(range(121))
            assert hook.taken[0]["late"]
            assert not hook.taken[-1]["late"]
            assert hook_sink.fault is None
    assert "s3cret" not in caplog.text
    assert "cannot be used" in caplog.text


@pytest.mark.parametrize("status", [500, 502, 429, 401, 404, 302])
def test_it_is_tried_again_until_it_is_taken(outbox: Outbox, status: int) -> None:
    port, left = free_port(), [3]

    def says(_: list[Any]) -> int:
        left[0] -= 1
        return status if left[0] >= 0 else 200

    with closing(Hook(port)) as hook, posting(outbox, port):
        hook.status = says
        put(outbox, 1, 2)
        wait_until(lambda: outbox.count(READER) == 0, "the end of the tries")
        assert hook.numbers() == [1, 2]
        assert len(hook.posts) == 4
        assert outbox.refused[READER] == 0


def test_one_that_is_never_taken_does_not_hold_up_the_rest(outbox: Outbox) -> None:
    port = free_port()
    with closing(Hook(port)) as hook:
        hook.status = lambda answers: 422 if any(one["n"] == 3 for one in answers) else 200
        put(outbox, *range(6))
        with posting(outbox, port):
            wait_until(lambda: outbox.count(READER) == 0, "the rest")
        assert hook.numbers() == [0, 1, 2, 4, 5]
        assert (outbox.sent[READER], outbox.refused[READER]) == (5, 1)


def test_retry_after_is_obeyed(outbox: Outbox) -> None:
    port = free_port()
    with closing(Hook(port)) as hook:
        hook.status, hook.headers = lambda _: 503, {"Retry-After": "3000"}
        put(outbox, 1)
        with posting(outbox, port):
            wait_until(lambda: hook.posts, "the first try")
            assert not threading.Event().wait(0.5)
            assert len(hook.posts) == 1
    assert outbox.count(READER) == 1


def test_a_kept_connection_that_was_closed_is_no_fault(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with closing(Hook(port)) as hook, posting(outbox, port) as sink:
        hook.hangs_up = True
        for number in range(3):
            put(outbox, number)
            wait_until(lambda: outbox.count(READER) == 0, "the answer")
        assert hook.numbers() == [0, 1, 2]
        assert sink.fault is None
    assert caplog.text == ""


def test_tls_trusts_only_the_named_authority(outbox: Outbox, tmp_path: Path) -> None:
    certificates.authority(tmp_path, "house")
    certificates.authority(tmp_path, "stranger")
    certificates.certificate(tmp_path, "hook", "house")
    own = read_certificates(None, tmp_path / "hook.pem", tmp_path / "hook.key").server_context()
    port = free_port()
    address = parse_web_address(f"https://127.0.0.1:{port}/")

    def trusting(name: str) -> Any:
        context = read_certificates(tmp_path / f"{name}.pem", None, None).context()
        return closing(Webhook(address, outbox, context=context))

    with closing(Hook(port, own)) as hook:
        put(outbox, 1)
        with trusting("stranger") as sink:
            wait_until(lambda: sink.fault is not None, "the refusal")
        assert hook.posts == []
        with trusting("house"):
            wait_until(lambda: hook.taken, "the answer")
        assert SIGNATURE not in hook.posts[0][0]
