"""The annotated video: H.264 in an MP4 file that a browser plays from its first bytes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from edge_client.frame import Frame
from edge_client.sinks.annotate import Canvas, annotate
from shared.contracts import FaceAnswer
from shared.errors import ConfigError

LONGEST_PX = 1280
"""A larger camera's picture is shrunk: drawing and encoding is done on the device."""

_TIME_BASE = Fraction(1, 90_000)
_USUAL_FPS = 25

_log = logging.getLogger(__name__)


class AnnotatedVideo:
    """Writes every frame with its answers; frames keep their times, so dropped ones leave a gap.

    ``fps`` is the source's rate, where it has one: a hint for the encoder. The file is opened at
    once, so that a path that cannot be written is known before the run, and removed at ``close``
    if no frame came. A disk that fills up ends the video, with an error in the log, and nothing
    else: the answers go on.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, path: Path | str, fps: float | None) -> None:
        self._path = Path(path)
        self._fps = Fraction(fps or _USUAL_FPS).limit_denominator(1001)
        self._stream: VideoStream | None = None
        self._canvas: Canvas | None = None
        self._last_pts = -1
        self._closed = False
        self._broken = False
        try:
            # PyAV opens the file with the first packet only.
            self._path.touch()
            self._container: OutputContainer = av.open(
                str(path), "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"--annotate {path}: {why}") from error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Draw and encode one frame."""
        if self._broken:
            return
        if self._stream is None or self._canvas is None:
            self._canvas = Canvas.for_picture(frame.rgb, LONGEST_PX)
            self._stream = self._begin(self._canvas)
        picture = av.VideoFrame.from_ndarray(annotate(frame, faces, self._canvas), format="rgb24")
        # Two frames at one instant would be refused by the container.
        self._last_pts = max(round(frame.time_s / _TIME_BASE), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, _TIME_BASE
        self._mux(self._stream, picture)

    def close(self) -> None:
        """Finish the file; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._stream is not None:
            self._mux(self._stream, None)
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            self._give_up(error)
        if self._stream is None:
            self._path.unlink(missing_ok=True)

    def _mux(self, stream: VideoStream, picture: av.VideoFrame | None) -> None:
        try:
            if not self._broken:
                self._container.mux(stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        _log.error("%s ends here: %s", self._path, getattr(error, "strerror", None) or error)

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
