"""Cameras and addresses are decoded in a process of their own, so that none hurts the run.

    DecoderProcess.open() ==socket==> python -m ...decoder_process ==> pictures

The process has bounds on its memory and lives on while its camera is away and back. One that dies,
or from which no picture comes, is ended; the next opening starts another one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np

from splitfer.edge_client.sources import decoder
from splitfer.edge_client.sources import decoder_messages as messages
from splitfer.edge_client.sources.decoder import MOST_PIXELS, Picture
from splitfer.shared.child_process import receive, start_child
from splitfer.shared.errors import SourceError, SourceRefused

_MODULE = "splitfer.edge_client.sources.decoder_process"
START_S = 60.0
# A stream that is joined in its middle shows nothing before its next whole picture.
FIRST_PICTURE_S = 20.0
# Beyond the process's own bound of its reading, which says more.
_GRACE_S = 5.0
_DYING_S = 0.2

_log = logging.getLogger(__name__)


class DecoderProcess:
    """The process of one camera or address, started when it is first needed.

    ``settings`` are those of ``VideoDecoder``, or of what ``module`` opens. One reader at a time;
    ``close`` may come from any thread.
    """

    def __init__(self, address: str, name: str, module: str = _MODULE, **settings: Any) -> None:
        self.name = name
        self._module = module
        self._request = {"address": address, "name": name, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        # A signal's handler may close it in the very thread that reads.
        self.turn = threading.RLock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return None if self._process is None else self._process.pid

    def open(self) -> BoundedDecoder:
        """The camera opened, once more where it was before.

        Raises:
            SourceError: it cannot be opened, or has no picture stream.
            SourceRefused: it wants another user or password.
        """
        open_s, read_s = decoder.OPEN_TIMEOUT_S, decoder.READ_TIMEOUT_S
        request = json.dumps({**self._request, "open_s": open_s, "read_s": read_s}).encode()
        with self.turn:
            self._alive()
            self.send(messages.REQUEST.pack(len(request)) + request)
            # It is opened, and then looked into for what it is.
            kind, first, _, _ = self.head(open_s + 2 * read_s + _GRACE_S)
            if kind != messages.OPENED:
                raise self.broken("its decoder answers out of turn")
            return BoundedDecoder(self, json.loads(self.text(first)))

    def head(self, within_s: float) -> tuple[int, int, int, float]:
        """What comes next, its words for the log written.

        Raises:
            SourceError: an error came, or nothing, or the process died.
        """
        end_s = time.monotonic() + within_s
        while True:
            head: tuple[int, int, int, float]
            head = messages.HEAD.unpack(self.take(messages.HEAD.size, end_s, within_s))
            kind, first = head[:2]
            if kind == messages.WORDS:
                _log.warning("%s", self.text(first))
            elif kind in (messages.ERROR, messages.REFUSED):
                error = SourceRefused if kind == messages.REFUSED else SourceError
                raise error(self.text(first))
            else:
                return head

    def text(self, size: int) -> str:
        """Words that were announced."""
        if size > messages.LONGEST_TEXT_BYTES:
            raise self.broken("its decoder answers out of turn")
        return self.take(size, time.monotonic() + _GRACE_S, _GRACE_S).decode("utf-8", "replace")

    def take(self, size: int, end_s: float, within_s: float) -> bytearray:
        """So many bytes; ``within_s`` is what the error speaks of."""
        try:
            return receive(self._linked(), size, end_s)
        except TimeoutError:
            raise self.broken(f"no picture for {within_s:.0f} s") from None
        except OSError:
            raise self.broken() from None

    def send(self, data: bytes) -> None:
        """To the process."""
        try:
            link = self._linked()
            link.settimeout(_GRACE_S)
            link.sendall(data)
        except OSError:
            raise self.broken() from None

    def broken(self, words: str | None = None) -> SourceError:
        """End the process; the error that says so, of its death where there are no ``words``."""
        code = self.end()
        why = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return SourceError(f"{self.name}: {words or f'its pictures ended their decoder {why}'}")

    def end(self) -> int | None:
        """End the process; the exit code of one that had ended by itself."""
        with self.turn:
            link, process = self._link, self._process
            self._link = self._process = None
        if link is not None:
            link.close()
        if process is None:
            return None
        code = None
        # Its death closes its end before it can be waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(_DYING_S)
        process.kill()
        process.wait()
        return code

    def close(self) -> None:
        """End the process for good; whoever reads from it sees it end."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self.turn:
            self.end()

    def _linked(self) -> socket.socket:
        if self._link is None:
            raise ConnectionError("there is no process")
        return self._link

    def _alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is not None:
            return
        try:
            self._process, self._link = start_child(self._module)
            if self._closed:
                self._process.kill()
            receive(self._link, len(messages.READY), time.monotonic() + START_S)
        except OSError as error:
            self.end()
            raise SourceError(
                f"{self.name}: no process that decodes it could be started: {error}"
            ) from error


class BoundedDecoder:
    """One opening of a ``DecoderProcess``: see ``Decoder``."""

    def __init__(self, process: DecoderProcess, claims: dict[str, Any]) -> None:
        self.name = process.name
        self.fps: float | None = claims["fps"]
        self.duration_s: float | None = claims["duration_s"]
        self.frames_total: int | None = claims["frames_total"]
        self._process = process

    def again(self) -> BoundedDecoder:
        """The same opened anew.

        Raises:
            SourceError: it cannot be opened any more.
        """
        return self._process.open()

    def pictures(self, stop: threading.Event) -> Generator[Picture]:
        """The pictures, until the end or until ``stop`` is set. Once per decoder.

        Raises:
            SourceError: reading broke off, or no picture came for long.
        """
        within_s, over = FIRST_PICTURE_S, False
        try:
            while not stop.is_set():
                try:
                    picture = self._next(within_s)
                except SourceError:
                    over = True
                    if stop.is_set():  # the process ended because it had to
                        return
                    raise
                if picture is None:
                    over = True
                    return
                yield picture
                within_s = decoder.READ_TIMEOUT_S + _GRACE_S
        finally:
            if not over:
                self._process.end()

    def close(self) -> None:
        """End the reading, and the process."""
        self._process.close()

    def _next(self, within_s: float) -> Picture | None:
        with self._process.turn:
            kind, height, width, time_s = self._process.head(within_s)
            if kind == messages.END:
                return None
            # The process is believed nothing: what it sends is bounded like what a camera sends.
            if kind != messages.PICTURE or not 0 < height * width <= MOST_PIXELS:
                raise self._process.broken("its decoder answers out of turn")
            end_s = time.monotonic() + decoder.READ_TIMEOUT_S + _GRACE_S
            data = self._process.take(height * width * 3, end_s, decoder.READ_TIMEOUT_S + _GRACE_S)
        return Picture(np.frombuffer(data, np.uint8).reshape(height, width, 3), time_s)
