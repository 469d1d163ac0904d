"""A camera on loopback that does what a test says: one act for each connection, the last again."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from PIL import Image

from tests.processes import PATIENCE_S

Act = Callable[["Connection"], None]


def jpeg(number: int, width: int = 64, height: int = 48) -> bytes:
    """A grey picture, of another grey for each number."""
    out = io.BytesIO()
    grey = np.full((height, width), 20 + 10 * (number % 20), np.uint8)
    Image.fromarray(grey).save(out, "JPEG")
    return out.getvalue()


class Connection:
    """What an act has of a caller. Writing to one that left ends the act."""

    def __init__(self, handler: http.server.BaseHTTPRequestHandler, closed: threading.Event):
        self._handler, self.closed = handler, closed

    def begin(self, kind: str = "multipart/x-mixed-replace;boundary=b", status: int = 200) -> None:
        """The head of the reply."""
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", kind)
        self._handler.end_headers()

    def redirect(self, address: str) -> None:
        """To another address."""
        self._handler.send_response(302)
        self._handler.send_header("Location", address)
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        """As it is."""
        self._handler.wfile.write(data)

    def part(self, picture: bytes, announced: int | None = None) -> None:
        """One picture of a multipart stream; ``announced`` is the length that it claims."""
        length = len(picture) if announced is None else announced
        head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        self.write(head.encode() + picture + b"\r\n")

    def pictures(
        self, count: int | None = None, pause_s: float = 0.01, still: bool = False
    ) -> None:
        """A stream of ``count`` pictures, or one without an end."""
        self.begin()
        number = 0
        while (count is None or number < count) and not self.closed.wait(pause_s):
            self.part(jpeg(0 if still else number))
            number += 1

    def silence(self) -> None:
        """Nothing more, until the camera is closed."""
        self.closed.wait(PATIENCE_S)


class Camera:
    """Serves until it is closed; ``requests`` are the paths that were asked for."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self.requests: list[str] = []
        self._acts = list(acts)
        self._closed = threading.Event()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append(self.path)
                act = camera._acts[min(len(camera.requests), len(camera._acts)) - 1]
                try:
                    act(Connection(self, camera._closed))
                except OSError:  # the caller left
                    self.close_connection = True

            def log_message(self, format: str, *words: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/stream"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)
