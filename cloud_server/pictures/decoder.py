"""Pictures are decoded in a process of their own, so that a hostile one hurts nobody else.

    PictureDecoder.decode(bytes) ==socket==> python -m (this module) ==> its size
                      is there memory? =====> yes ===================> grey pixels

What costs by the pixel is done there too: here it would hold Python's lock, and so the event loop.

The process has bounds on its memory and time, cannot write or open files, and does not have the
server's environment. It ends when its socket closes, also where the server was killed.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.child_process import (
    bound_child,
    leave_signals_to_parent,
    receive,
    receive_into,
    receive_patiently,
    start_child,
)
from splitfer.shared.errors import (
    ImageError,
    InferenceFailed,
    NotReady,
    PayloadTooLarge,
    SplitFerError,
    UnsupportedPicture,
)
from splitfer.shared.vision.picture import decode_picture, to_grey

log = logging.getLogger(__name__)

START_S = 60.0
# For a process that is stopped, or starved: one that works is ended by its own bound.
PATIENCE_S = 60.0
# Of a picture in all its forms at once: file, libjpeg's coefficients, Pillow's copies, RGB.
_MEMORY_A_PIXEL_BYTES = 32
_MEMORY_BYTES = 96 * 2**20
_READY = b"\x01"
_SIZE = struct.Struct("!I")
# What the answer is, then height and width of the pixels, or the length of a message and 0.
_ANSWER = struct.Struct("!BII")
_PIXELS = 0
# In an answer's place: the picture's size, and whether it may be decoded. Then one of two bytes,
# and after a no an answer that is empty.
_MAY_I, _GO, _NO = 255, b"\x01", b"\x00"
_ERRORS: tuple[type[SplitFerError], ...] = (ImageError, UnsupportedPicture, PayloadTooLarge)
_MESSAGE_BYTES = 1000
_MODULE = "splitfer.cloud_server.pictures.decoder"


class PictureDecoder:
    """One process, started when it is first needed and replaced when it dies or overruns.

    ``decode_s`` bounds its processor time for one picture, so that a busy machine breaks nothing.
    One caller at a time; ``close`` may come from any thread.
    """

    def __init__(self, most_pixels: int, decode_s: float) -> None:
        self._most_pixels = most_pixels
        self._decode_s = decode_s
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._turn = threading.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id of the decoder, where there is one."""
        return None if self._process is None else self._process.pid

    @property
    def idle(self) -> bool:
        """Whether no picture is being decoded."""
        return not self._turn.locked()

    def decode(
        self, data: bytes, make_room: Callable[[int], None] = lambda _: None
    ) -> NDArray[np.uint8]:
        """As ``splitfer.shared.vision.picture.decode_picture``, and grey. Before it is decoded
        ``make_room`` is called with its number of pixels, and may raise an error of ours.

        Raises:
            ImageError: as there; or the picture broke its decoder, or took too long.
            PayloadTooLarge: as there.
            InferenceFailed: no process could be started.
            NotReady: closed, before or meanwhile.
        """
        with self._turn:
            link = self._alive()
            try:
                return self._ask(link, data, make_room)
            except (OSError, ValueError) as error:
                raise self._broken(isinstance(error, TimeoutError)) from None

    def close(self) -> None:
        """End the process; whoever waits for it gets ``NotReady``."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._turn:
            self._end()

    def _alive(self) -> socket.socket:
        """The socket of a living process, started where there is none."""
        if self._closed:
            raise NotReady("the server is stopping")
        if self._process is not None and self._process.poll() is not None:
            self._end()
        return self._socket or self._start()

    def _start(self) -> socket.socket:
        try:
            self._process, link = start_child(_MODULE, str(self._most_pixels), str(self._decode_s))
            self._socket = link
            if self._closed:
                self._process.kill()
            receive(link, 1, time.monotonic() + START_S)
        except OSError as error:
            self._end()
            if self._closed:
                raise NotReady("the server is stopping") from None
            log.error("no process that decodes pictures could be started: %s", error)
            raise InferenceFailed("the server cannot decode pictures now") from error
        return link

    def _ask(
        self, link: socket.socket, data: bytes, make_room: Callable[[int], None]
    ) -> NDArray[np.uint8]:
        end_s = time.monotonic() + self._decode_s + PATIENCE_S
        link.settimeout(max(0.001, end_s - time.monotonic()))
        link.sendall(_SIZE.pack(len(data)))
        link.sendall(data)
        kind, first, second = _ANSWER.unpack(receive(link, _ANSWER.size, end_s))
        if kind == _MAY_I and 0 < first * second <= self._most_pixels:
            try:
                make_room(first * second)
            except SplitFerError:
                link.sendall(_NO)
                receive(link, _ANSWER.size, end_s)
                raise
            link.sendall(_GO)
            end_s = time.monotonic() + self._decode_s + PATIENCE_S
            kind, first, second = _ANSWER.unpack(receive(link, _ANSWER.size, end_s))
        # The process is believed nothing: what it sends is bounded like what a caller sends.
        if kind == _PIXELS and 0 < first * second <= self._most_pixels:
            pixels = np.empty((first, second), np.uint8)
            receive_into(link, pixels.data.cast("B"), end_s)
            return pixels
        if 0 < kind <= len(_ERRORS) and first <= _MESSAGE_BYTES:
            message = receive(link, first, end_s).decode("utf-8", "replace")
            raise _ERRORS[kind - 1](message)
        raise ValueError("not an answer")

    def _broken(self, late: bool) -> SplitFerError:
        """After an end that was not asked for: the error of the one picture that it was."""
        code = self._end()
        if self._closed:
            return NotReady("the server is stopping")
        late = late or code == -signal.SIGPROF
        what = "it takes too long" if late else "it broke its decoder"
        log.warning("a picture was given up: %s; exit code %s, a new one is started", what, code)
        return ImageError(f"the picture cannot be decoded: {what}")

    def _end(self) -> int | None:
        """End the process; gives its exit code, None where there was none."""
        link, process = self._socket, self._process
        self._socket = self._process = None
        if link is not None:
            link.close()
        if process is None:
            return None
        process.kill()
        return process.wait()


# --- The process


def main() -> None:
    """Decode what comes over the socket at stdin until it closes."""
    most_pixels, decode_s = int(sys.argv[1]), float(sys.argv[2])
    leave_signals_to_parent()
    Image.init()  # every import is done before no file can be opened any more
    with socket.socket(fileno=0) as link, contextlib.suppress(ConnectionError):
        # No file and no connection but the three.
        bound_child(_MEMORY_BYTES + most_pixels * _MEMORY_A_PIXEL_BYTES, open_files=3)
        link.sendall(_READY)
        while True:
            (size,) = _SIZE.unpack(receive_patiently(link, _SIZE.size))
            data = bytes(receive_patiently(link, size))
            # The kernel keeps the bound, so it also holds where the server is gone.
            signal.setitimer(signal.ITIMER_PROF, decode_s)
            _answer(link, data, most_pixels)
            signal.setitimer(signal.ITIMER_PROF, 0)


class _Forbidden(Exception):
    """There is no memory for it."""


def _answer(link: socket.socket, data: bytes, most_pixels: int) -> None:
    def ask(width: int, height: int) -> None:
        link.sendall(_ANSWER.pack(_MAY_I, height, width))
        if receive_patiently(link, 1) != _GO:
            raise _Forbidden

    try:
        grey = np.ascontiguousarray(to_grey(decode_picture(data, most_pixels, ask)))
    except _Forbidden:
        link.sendall(_ANSWER.pack(1, 0, 0))
    except SplitFerError as error:
        kind = 1 + (_ERRORS.index(type(error)) if type(error) in _ERRORS else 0)
        message = str(error)
        if isinstance(error.__cause__, MemoryError):
            message = "the picture needs more memory to decode than a picture may"
        told = message.encode()[:_MESSAGE_BYTES]
        link.sendall(_ANSWER.pack(kind, len(told), 0) + told)
    else:
        link.sendall(_ANSWER.pack(_PIXELS, *grey.shape))
        link.sendall(grey.data.cast("B"))


if __name__ == "__main__":
    main()
