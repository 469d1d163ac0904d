"""The annotated video: H.264 in a file that browsers and players know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from splitfer.edge_client.sinks.annotate import Canvas, annotate
from splitfer.edge_client.sinks.growing_file import GrowingFile
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.errors import ConfigError

LONGEST_PX = 1280
"""A larger camera's picture is shrunk: drawing and encoding is done on the device."""

# A fragment is written whole when its second is over.
_IN_FRAGMENTS = {
    "movflags": "+hybrid_fragmented+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
FORMATS = {
    ".mp4": ("mp4", _IN_FRAGMENTS),
    ".mov": ("mov", _IN_FRAGMENTS),
    ".mkv": ("matroska", {"cluster_time_limit": "1000", "flush_packets": "1"}),
}
"""FFmpeg's name and options by the file's ending: formats whose frames keep times of their own, and
that play after an end at any moment."""

_TIME_BASE = Fraction(1, 90_000)
_USUAL_FPS = 25


class AnnotatedVideo:
    """Writes every frame with its answers; frames keep their times, so dropped ones leave a gap.

    The file's ending is one of ``FORMATS``. ``fps`` is the source's rate, where it has one: a hint
    for the encoder. While it grows the file is made of fragments, a second of time or a frame each,
    and plays after an end at any moment; ``close`` makes a plain one of it. There is none before
    the first fragment. Where it cannot be written on, what is there still plays. With ``replace``
    it takes the place of a file of that name.

    Raises:
        ConfigError: there is no format of that ending.
    """

    def __init__(self, path: Path | str, fps: float | None, replace: bool = False) -> None:
        suffix = Path(path).suffix.lower()
        if suffix not in FORMATS:
            raise ConfigError(f"--annotate {path}: the ending is one of {', '.join(FORMATS)}")
        self._fps = Fraction(fps or _USUAL_FPS).limit_denominator(1001)
        self._stream: VideoStream | None = None
        self._canvas: Canvas | None = None
        self._last_pts = -1
        self._closed = False
        self._error: OSError | None = None
        self._header_bytes = 0
        self._file = GrowingFile(Path(path), replace)
        name, options = FORMATS[suffix]
        self._container: OutputContainer = av.open(self._file, "w", format=name, options=options)

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Draw and encode one frame.

        Raises:
            OSError: it cannot be written; nor can any after it.
        """
        if self._error is not None:
            raise OSError(*self._error.args)
        if self._stream is None or self._canvas is None:
            self._canvas = Canvas.for_picture(frame.rgb, LONGEST_PX)
            self._stream = self._begin(self._canvas)
        picture = av.VideoFrame.from_ndarray(annotate(frame, faces, self._canvas), format="rgb24")
        # Two frames at one instant would be refused by the container.
        self._last_pts = max(round(frame.time_s / _TIME_BASE), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, _TIME_BASE
        with self._broken_by():
            self._container.mux(self._stream.encode(picture))
            if not self._header_bytes:
                self._header_bytes = self._file.size
            elif self._file.size > self._header_bytes:
                self._file.commit()

    def close(self) -> None:
        """Finish the file; a second time does nothing. Without a frame there is none.

        Raises:
            OSError: it cannot be finished; what is there plays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._stream is None or self._error is not None:
                return
            with self._broken_by():
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._file.commit()
        finally:
            self._file.close()
            with suppress(av.FFmpegError, OSError):  # where it is closed already, nothing happens
                self._container.close()

    @contextmanager
    def _broken_by(self) -> Iterator[None]:
        """What goes wrong here ends the video."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._error = OSError(error.errno, error.strerror)
            self._file.close()
            raise self._error from error

    def _begin(self, canvas: Canvas) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = canvas.width_px, canvas.height_px
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        # The encoder shares a small processor with the detector: few threads, little thought.
        stream.thread_count = 1
        stream.options = {"preset": "superfast", "crf": "26", "tune": "zerolatency"}
        return stream
