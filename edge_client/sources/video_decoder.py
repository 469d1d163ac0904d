"""One opened video: packets in, upright RGB pictures out. The only file that reads with PyAV."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import partial

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from splitfer.edge_client.sources.as_shown import as_shown
from splitfer.edge_client.sources.decoder import (
    MOST_PIXELS,
    OPEN_TIMEOUT_S,
    READ_TIMEOUT_S,
    Picture,
)
from splitfer.edge_client.sources.pace import Pace
from splitfer.edge_client.sources.timeline import Timeline
from splitfer.shared.errors import SourceError, SourceRefused

# A container's header can claim any rate; beyond this it is a clock's rate and not a camera's.
_MOST_FPS = 240.0
# In a row: a demuxer that fails on every call must not spin for ever.
_MOST_DAMAGED = 10_000
# A lock that close() waits for no longer than this: the reader closes the file then.
_CLOSE_WAIT_S = 0.2
# More gain nothing for the codecs of cameras, and each reserves memory.
_MOST_THREADS = 4

_log = logging.getLogger(__name__)


class VideoDecoder:
    """The first picture stream of a file, a camera or an address; good for one reading.

    ``name`` and ``hint`` (what to look at) are for the error. ``format`` and ``options`` are
    FFmpeg's (``v4l2``, ``rtsp_transport``). A network or a device that keeps silent for ``open_s``
    as it is opened, or for ``read_s`` later, counts as broken. Of more than ``most_fps`` pictures a
    second the others are left out, by their own times or with ``by_clock`` as they come. ``pixels``
    is what its header says of a picture.

    Raises:
        SourceError: it cannot be opened, or has no picture stream.
        SourceRefused: it wants another user or password.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        hint: str = "is it a picture or a video that FFmpeg plays?",
        format: str | None = None,
        options: dict[str, str] | None = None,
        open_s: float = OPEN_TIMEOUT_S,
        read_s: float = READ_TIMEOUT_S,
        most_fps: float | None = None,
        by_clock: bool = False,
    ) -> None:
        self.name = name
        self._again = partial(
            VideoDecoder,
            address,
            name,
            hint=hint,
            format=format,
            options=options,
            open_s=open_s,
            read_s=read_s,
            most_fps=most_fps,
            by_clock=by_clock,
        )
        self._read_s = read_s
        self._lock = threading.Lock()
        try:
            self._container: InputContainer = av.open(
                address,
                "r",
                format=format,
                options={"max_pixels": str(MOST_PIXELS), **(options or {})},
                timeout=(open_s, read_s),
            )
        except (av.HTTPUnauthorizedError, av.HTTPForbiddenError) as error:
            words = "it does not accept this user and password"
            raise SourceRefused(f"{name}: {words} ({error.strerror})") from None
        except (av.FFmpegError, OSError, ValueError) as error:
            why = _words(error, f"nothing came within {open_s:.0f} s", options)
            # The error itself quotes the address, and may quote a password.
            cause = None if "://" in address else error
            raise SourceError(f"{name}: {why[:1].lower() + why[1:]}; {hint}") from cause
        # FFmpeg draws text files as if they were a terminal's screen.
        if not self._container.streams.video or self._container.format.name == "tty":
            self._container.close()
            raise SourceError(f"{name}: there is no picture in it; {hint}")
        self._stream: VideoStream = self._container.streams.video[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise SourceError(
                f"{name}: its pictures are of a kind that is not decoded here "
                f"({self._container.format.name}); make a JPEG, PNG or MP4 of it"
            )
        width, height = self._stream.width, self._stream.height
        self.pixels: int = width * height
        if self.pixels > MOST_PIXELS:
            self._container.close()
            raise SourceError(
                f"{name}: its pictures have {width} x {height} pixels, more than {MOST_PIXELS}"
            )
        # A picture that turns out larger is refused before there is room made for it.
        self._stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        self._stream.codec_context.thread_count = min(_MOST_THREADS, os.cpu_count() or 1)
        self.fps: float | None = _sane_rate(self._stream)
        self.duration_s: float | None = (
            self._container.duration / av.time_base if self._container.duration else None
        )
        self.frames_total: int | None = self._stream.frames or None
        if self.frames_total is None and self.duration_s and self.fps:
            self.frames_total = round(self.duration_s * self.fps)
        # The time stamps of a stream without an end are often made up.
        self._by_clock = by_clock and self.duration_s is None
        self._pace = Pace(most_fps)
        if most_fps and self.fps and most_fps < self.fps:
            if self.frames_total is not None:
                self.frames_total = max(1, round(self.frames_total * most_fps / self.fps))
            self.fps = most_fps

    def again(self) -> VideoDecoder:
        """The same opened anew.

        Raises:
            SourceError: it cannot be opened any more.
        """
        return self._again()

    def pictures(self, stop: threading.Event) -> Generator[Picture]:
        """Decode until the end or until ``stop`` is set, then close. Once per decoder.

        Packets that cannot be decoded are left out.

        Raises:
            SourceError: reading broke off (a cable, a network, a disk).
        """
        frames = self._frames()
        timeline = Timeline(self.fps)
        try:
            while True:
                with self._lock:
                    frame = None if stop.is_set() else next(frames, None)
                    if frame is None:
                        return
                    time_s = timeline.at(frame.time)
                    if not self._pace.takes(time.monotonic() if self._by_clock else time_s):
                        continue
                    rgb = as_shown(frame, self._aspect())
                yield Picture(rgb, time_s)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file, unless another thread is reading from it, which then does it."""
        if self._lock.acquire(timeout=_CLOSE_WAIT_S):
            try:
                self._container.close()
            finally:
                self._lock.release()

    def _aspect(self) -> Fraction | None:
        """Of a pixel, by the container or else by the pictures themselves."""
        return self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio

    def _frames(self) -> Iterator[VideoFrame]:
        damaged_in_a_row, told = 0, False
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.EOFError:
                return
            except av.InvalidDataError as error:
                damaged_in_a_row += 1
                if not told:
                    told = True
                    _log.warning("%s: damaged packets are left out", self.name)
                if damaged_in_a_row == _MOST_DAMAGED:
                    raise SourceError(f"{self.name}: nothing but damaged packets") from error
                # The iterator is over once it has raised; the container reads on.
                packets = self._container.demux(self._stream)
            except (av.FFmpegError, OSError) as error:
                why = _words(error, f"no picture for {self._read_s:.0f} s")
                raise SourceError(f"{self.name}: {why[:1].lower() + why[1:]}") from error
            else:
                damaged_in_a_row = 0 if frames else damaged_in_a_row
                yield from frames


def _sane_rate(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    fps = float(rate) if rate else 0.0
    return fps if math.isfinite(fps) and 0 < fps <= _MOST_FPS else None


def _words(error: Exception, timeout: str, options: dict[str, str] | None = None) -> str:
    """What went wrong; FFmpeg calls the end of our patience "Immediate exit requested"."""
    if isinstance(error, av.ArgumentError):
        if options and "format_whitelist" in options:
            return (
                "it is no stream of pictures that is read from an address (a playlist is not "
                f"followed: name the stream's own address), or has more than {MOST_PIXELS} pixels"
            )
        return f"a picture of it is damaged, or has more than {MOST_PIXELS} pixels"
    if isinstance(error, av.ExitError):
        return timeout
    return getattr(error, "strerror", None) or str(error)
