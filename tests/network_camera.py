"""A network camera on loopback: JPEG after JPEG over HTTP, as many cheap ones do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from splitfer.edge_client.sources.open import open_source
from splitfer.shared.vision.picture import encode_jpeg

_BOUNDARY = b"next"
_HEAD = (
    b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=" + _BOUNDARY + b"\r\n"
)


def demo_jpegs(count: int = 12) -> list[bytes]:
    """Frames of the demo clip, most of them with faces."""
    with open_source("demo") as clip:
        frames = [encode_jpeg(frame.rgb, 85) for frame in clip if frame.index % 10 == 0]
    return frames[:count]


class Camera:
    """Sends ``pictures`` in turn, ``fps`` a second, to whoever asks. It can be unplugged, frozen,
    and brought back, on the same port."""

    def __init__(self, pictures: Sequence[bytes], fps: float = 15.0) -> None:
        self._pictures, self._pause_s = list(pictures), 1 / fps
        self._moving = threading.Event()
        self._moving.set()
        self._closed = threading.Event()
        self._callers: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.source = f"http://127.0.0.1:{self.port}/live.mjpeg"
        self.sent = 0
        self._start()

    def unplug(self) -> None:
        """Nobody answers any more, and who is connected is cut off."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._moving.set()
        self._acceptor.join(10)
        for caller in self._callers:
            with suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)
            caller.close()
        self._callers.clear()

    def plug_in(self) -> None:
        """It is back."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._closed.clear()
        self._start()

    def freeze(self) -> None:
        """Connected, and no picture comes."""
        self._moving.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed.is_set():
            self.unplug()

    def _start(self) -> None:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self._callers.append(caller)
            threading.Thread(target=self._send, args=(caller,), daemon=True).start()

    def _send(self, caller: socket.socket) -> None:
        with suppress(OSError):
            caller.recv(4096)
            caller.sendall(_HEAD)
            place = 0
            while not self._closed.wait(self._pause_s):
                self._moving.wait()
                picture = self._pictures[place % len(self._pictures)]
                head = b"\r\n--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (
                    _BOUNDARY,
                    len(picture),
                )
                caller.sendall(head + picture)
                place += 1
                self.sent += 1
