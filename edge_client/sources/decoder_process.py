"""The process that decodes a camera's pictures: ``python -m`` this module, see ``bounded_decoder``.

Its memory is bounded: a part that announces gigabytes, or a picture of gigantic sides, costs it its
life at most. It opens no files but cameras, and of addresses only what was asked for.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from splitfer.edge_client.sources import decoder_messages as messages
from splitfer.edge_client.sources.decoder import Picture
from splitfer.edge_client.sources.video_decoder import VideoDecoder
from splitfer.shared.child_process import (
    address_space_bytes,
    bound_child,
    leave_signals_to_parent,
    receive_patiently,
)
from splitfer.shared.errors import SourceError, SourceRefused

# Beyond what the process has when it begins. A stream that says nothing yet may take so much to
# find out what it is; then it gets what pictures of its size need: reference frames, threads, RGB.
OPENING_BYTES = 256 * 2**20
LEAST_BYTES = 96 * 2**20
A_PIXEL_BYTES = 64
MOST_BYTES = 384 * 2**20
_OPEN_FILES = 64


class Opened(Protocol):
    """An opened video's facts, and its pictures."""

    fps: float | None
    duration_s: float | None
    frames_total: int | None

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See ``Decoder``."""
        ...


def main() -> None:
    """Decode what is asked for over the socket at stdin until it closes."""
    own_bytes = address_space_bytes()
    bound_child(MOST_BYTES, _OPEN_FILES)

    def opened(request: dict[str, Any]) -> VideoDecoder:
        _allow(own_bytes + OPENING_BYTES)
        decoder = VideoDecoder(**request)
        needed_bytes = max(LEAST_BYTES, decoder.pixels * A_PIXEL_BYTES)
        _allow(own_bytes + min(MOST_BYTES, needed_bytes))
        return decoder

    serve(opened)


def serve(opened: Callable[[dict[str, Any]], Opened]) -> None:
    """Open what is asked for over the socket at stdin, and send its pictures, until it closes."""
    leave_signals_to_parent()
    with socket.socket(fileno=0) as link, contextlib.suppress(ConnectionError):
        logging.getLogger("splitfer").addHandler(_ToParent(link))
        link.sendall(messages.READY)
        while True:
            (size,) = messages.REQUEST.unpack(receive_patiently(link, messages.REQUEST.size))
            request = json.loads(receive_patiently(link, size))
            try:
                _send_all(link, opened(request))
            except SourceError as error:
                refused = isinstance(error, SourceRefused)
                _send(link, messages.REFUSED if refused else messages.ERROR, str(error))
            except MemoryError:
                words = "its pictures need more memory than a camera's may"
                _send(link, messages.ERROR, f"{request['name']}: {words}")
                sys.exit(0)  # what is left of it lies in pieces


def _send_all(link: socket.socket, decoder: Opened) -> None:
    claims = {
        "fps": decoder.fps,
        "duration_s": decoder.duration_s,
        "frames_total": decoder.frames_total,
    }
    _send(link, messages.OPENED, json.dumps(claims))
    for picture in decoder.pictures(threading.Event()):
        height, width = picture.rgb.shape[:2]
        link.sendall(messages.HEAD.pack(messages.PICTURE, height, width, picture.time_s))
        link.sendall(picture.rgb.data.cast("B"))
    link.sendall(messages.HEAD.pack(messages.END, 0, 0, 0.0))


def _allow(memory_bytes: int) -> None:
    _, most_bytes = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (min(memory_bytes, most_bytes), most_bytes))


def _send(link: socket.socket, kind: int, text: str) -> None:
    data = text.encode()[: messages.LONGEST_TEXT_BYTES]
    link.sendall(messages.HEAD.pack(kind, len(data), 0, 0.0) + data)


class _ToParent(logging.Handler):
    def __init__(self, link: socket.socket) -> None:
        super().__init__(logging.WARNING)
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        _send(self._link, messages.WORDS, record.getMessage())


if __name__ == "__main__":
    main()
