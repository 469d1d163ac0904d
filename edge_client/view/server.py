"""The small HTTP server of a device: the live page, the health, and the metrics.

    GET  /            the page, which asks for          200
    GET  /live?after=N   the newest frame after N       200, or 401 where it wants its token
    GET  /healthz     200 where frames are answered, 503 where not
    GET  /metrics     Prometheus
    POST /control     {"paused": bool} or {"policy": name}

On loopback anybody of this machine may ask, by the names of this machine alone, so that no page of
another site can. Elsewhere everything but the page's own files and the bare health wants the token.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from io import BufferedIOBase
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from splitfer.edge_client.address import Address
from splitfer.edge_client.view.bounded_server import BoundedServer, HeaderLines
from splitfer.shared.errors import ConfigError
from splitfer.shared.loopback import is_this_machine

# A page hears so often how the device is, whether or not a frame comes.
LIVE_WAIT_S = 1.0
_IDLE_S = 30.0
_LONGEST_BODY_BYTES = 1000
_LEAST_PAUSE_S = 0.08
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
        "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
}
_JSON = "application/json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """What is served. ``live`` waits for a frame after a number, so many seconds, and gives what
    the page shows; None serves no page. ``control`` takes what was asked, or raises ValueError."""

    health: Callable[[], tuple[bool, dict[str, Any]]]
    metrics: Callable[[], bytes]
    control: Callable[[dict[str, Any]], None]
    live: Callable[[int, float], dict[str, Any]] | None = field(default=None)


class ViewServer:
    """Serves ``shown`` on ``address`` from threads of its own until it is closed. ``token`` is
    wanted where the address is not loopback.

    Raises:
        ConfigError: it cannot listen there.
    """

    def __init__(self, address: Address, shown: Shown, token: str | None = None) -> None:
        handler = _handler(shown, token, is_this_machine(address.host))
        try:
            self._server = BoundedServer(address, handler)
        except OSError as error:
            raise ConfigError(
                f"--listen {address}: cannot listen there: {error.strerror or error}"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="view", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more; a second time does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


def _handler(shown: Shown, token: str | None, loopback: bool) -> type[BaseHTTPRequestHandler]:
    folder = files("splitfer.edge_client.view") / "page"
    page = {
        path: ((folder / name).read_bytes(), kind)
        for path, (name, kind) in (_PAGE.items() if shown.live is not None else ())
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "splitfer-edge", ""
        timeout = _IDLE_S
        server: BoundedServer

        def parse_request(self) -> bool:
            """The request's first line and headers; False where it was refused."""
            file = self.rfile
            self.rfile = cast(BufferedIOBase, HeaderLines(file))
            try:
                return super().parse_request()
            finally:
                self.rfile = file

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_POST(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            self._with_body = with_body
            self.server.wait_for_turn()
            if self.command != "POST":  # whose body is yet to come
                self.server.is_silent(self.connection, False)
            try:
                self._reply()
            finally:
                self.server.is_silent(self.connection, True)

        def _reply(self) -> None:
            url = urlsplit(self.path)
            if not self._named_rightly():
                self._say(HTTPStatus.FORBIDDEN, "this page is reached as localhost or 127.0.0.1")
            elif self.command == "POST":
                self._control(url.path)
            elif url.path in page:
                self._send(HTTPStatus.OK, *page[url.path])
            elif url.path == "/healthz":
                works, report = shown.health()
                status = HTTPStatus.OK if works else HTTPStatus.SERVICE_UNAVAILABLE
                self._json(status, report if self._known() else {"health": report["health"]})
            elif url.path not in ("/metrics", "/live") or (url.path == "/live" and not page):
                self._say(HTTPStatus.NOT_FOUND, "not found")
            elif not self._known():
                self._say(HTTPStatus.UNAUTHORIZED, "it wants its token")
            elif url.path == "/metrics":
                self._send(HTTPStatus.OK, shown.metrics(), "text/plain; version=0.0.4")
            else:
                self._live(parse_qs(url.query).get("after", ["0"])[0])

        def _live(self, after: str) -> None:
            assert shown.live is not None
            number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
            threading.Event().wait(_LEAST_PAUSE_S)  # a browser draws no more, and it costs encoding
            self._json(HTTPStatus.OK, shown.live(number, LIVE_WAIT_S))

        def _control(self, path: str) -> None:
            length = self.headers.get("Content-Length", "")
            short = length.isascii() and length.isdigit() and int(length) <= _LONGEST_BODY_BYTES
            if not short or self.headers.get("Transfer-Encoding"):
                self.close_connection = True
                self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a short body with its length")
                return
            body = self.rfile.read(int(length))
            self.server.is_silent(self.connection, False)
            if path != "/control":
                self._say(HTTPStatus.NOT_FOUND, "not found")
            elif self.headers.get_content_type() != _JSON:  # which no form of another site sends
                self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body of Content-Type {_JSON}")
            elif not self._known():
                self._say(HTTPStatus.UNAUTHORIZED, "it wants its token")
            else:
                try:
                    asked = json.loads(body)
                    if not isinstance(asked, dict):
                        raise ValueError("expected an object")
                    shown.control(asked)
                except (ValueError, RecursionError) as error:
                    self._say(HTTPStatus.BAD_REQUEST, str(error)[:200])
                else:
                    self._json(HTTPStatus.OK, {})

        def _named_rightly(self) -> bool:
            """On loopback: not by a name that another site made to lead here."""
            if not loopback:
                return True
            try:
                name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
            except ValueError:
                return False
            return name is not None and is_this_machine(name)

        def _known(self) -> bool:
            if token is None:
                return loopback
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return hmac.compare_digest(given.encode(), token.encode())

        def _json(self, status: HTTPStatus, value: Any) -> None:
            self._send(status, json.dumps(value).encode(), _JSON)

        def _say(self, status: HTTPStatus, words: str) -> None:
            self._json(status, {"error": words})

        def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
            self.server.is_silent(self.connection, True)
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if status is HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            if self._with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *words: Any) -> None:
            _log.debug(format, *words)

    return Handler
