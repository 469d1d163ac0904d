"""From what a person typed to an opened source of frames."""

from __future__ import annotations

import importlib.util
from functools import partial
from importlib import resources
from pathlib import Path

from splitfer.edge_client.source_name import DEMO, KINDS, PICAMERA, is_camera_number
from splitfer.edge_client.sources.address import for_ffmpeg, shown
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.bounded_decoder import DecoderProcess
from splitfer.edge_client.sources.files import Pictures, VideoFile
from splitfer.edge_client.sources.live import FROZEN_S, Stream
from splitfer.edge_client.sources.picture import KINDS as PICTURE_KINDS
from splitfer.edge_client.sources.picture import SUFFIXES, is_picture
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import SourceError, SourceRefused

__all__ = ["Source", "open_source", "source_files"]

_PICAMERA = "splitfer.edge_client.sources.picamera_process"
_CAMERA_HINT = "is the camera plugged in and not in use, and may this user read it (group video)?"
# Over UDP a router that drops packets shows as a torn picture, and torn pictures as faces. Some
# cameras know nothing else, and refuse TCP with 461: FFmpeg then tries the other of the two.
_RTSP_OPTIONS = {
    "tcp": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "udp": {"rtsp_transport": "tcp+udp"},
}
# What a camera sends is not to lead anywhere else: no playlists, no redirects, no files. Of what it
# sends these kinds are read.
_FORMATS = (
    "mpjpeg,mjpeg,jpeg_pipe,png_pipe,webp_pipe,mpegts,mpeg,mpegvideo,flv,matroska,mov,avi,asf,ogg,"
    "nut,ivf,h264,hevc,m4v,obu,av1"
)
_OPTIONS: dict[str, dict[str, str]] = {
    "http": {"protocol_whitelist": "http,tcp"},
    "https": {"protocol_whitelist": "https,tls,tcp"},
    "rtsp": {"protocol_whitelist": "rtsp,rtp,srtp,udp,tcp", "format_whitelist": "rtsp"},
    "rtsps": {"protocol_whitelist": "rtsps,rtsp,rtp,srtp,udp,tcp,tls", "format_whitelist": "rtsp"},
}
_HTTP_OPTIONS = {"format_whitelist": _FORMATS, "max_redirects": "0"}
_STREAM_HINT = "does the address play in another player from this machine?"


def open_source(
    spec: str,
    realtime: bool = False,
    picture_pixels: int = Limits.picture_pixels,
    wait: bool = False,
    rtsp_transport: str = "tcp",
    max_fps: float | None = None,
    frozen_s: float = FROZEN_S,
) -> Source:
    """Open ``spec``: a picture, a folder of pictures, a video file, a camera's number (``0`` is
    ``/dev/video0``), ``picamera:0`` (the Pi's own), an ``rtsp://`` or ``http(s)://`` address,
    ``demo`` (the bundled clip) or ``demo*3`` (the clip three times over).

    With ``realtime`` a file is ``live`` too: it is to be read at its own rate. An address that
    serves a video of known length counts as a file; every other address is live and is opened
    again when it breaks, or when its picture has not changed for ``frozen_s``. Of a video no more
    than ``max_fps`` pictures a second are taken. A picture file of more than ``picture_pixels`` is
    not read.

    Raises:
        SourceError: nothing is there, or it cannot be read; the message says what to do.
    """
    if not spec:
        raise SourceError(f"a source without a name; name {KINDS}")
    if repeat := DEMO.fullmatch(spec):
        return _video(str(_demo_clip()), spec, realtime, max_fps, int(repeat[1] or 1))
    if own := PICAMERA.fullmatch(spec):
        return _picamera(own[1], spec, wait, max_fps, frozen_s)
    if is_camera_number(spec):
        return _camera(f"/dev/video{spec}", wait, max_fps, frozen_s)
    if spec.startswith("/dev/video"):
        return _camera(spec, wait, max_fps, frozen_s)
    if "://" in spec:
        return _address(spec, realtime, wait, rtsp_transport, max_fps, frozen_s)
    return _path(Path(spec), realtime, picture_pixels, max_fps)


def source_files(spec: str) -> list[Path]:
    """The files that ``open_source(spec)`` would read; none where it is no file or folder."""
    if not spec:
        return []
    if DEMO.fullmatch(spec):
        return [_demo_clip()]
    path = Path(spec)
    try:
        return _pictures_in(path) if path.is_dir() else [path] if path.exists() else []
    except OSError:  # which opening it will say
        return []


def _camera(device: str, wait: bool, max_fps: float | None, frozen_s: float) -> Source:
    process = DecoderProcess(
        device, device, hint=_CAMERA_HINT, format="v4l2", most_fps=max_fps, by_clock=True
    )
    return Stream(device, process.open, patient=wait, end=process.close, frozen_s=frozen_s)


def _picamera(number: str, spec: str, wait: bool, max_fps: float | None, frozen_s: float) -> Source:
    if importlib.util.find_spec("picamera2") is None:
        raise SourceError(
            f"{spec}: the package picamera2 is not here: it comes with the system's Python (apt "
            "install python3-picamera2), and a virtual environment sees it where it was made with "
            "--system-site-packages"
        )
    process = DecoderProcess(number, spec, module=_PICAMERA, most_fps=max_fps)
    return Stream(spec, process.open, patient=wait, end=process.close, frozen_s=frozen_s)


def _address(
    spec: str,
    realtime: bool,
    wait: bool,
    rtsp_transport: str,
    max_fps: float | None,
    frozen_s: float,
) -> Source:
    name = shown(spec)
    scheme = spec.partition("://")[0].lower()
    if scheme not in _OPTIONS:
        raise SourceError(f"{name}: {scheme}:// is not read; name {KINDS}")
    rtsp = scheme.startswith("rtsp")
    options = _OPTIONS[scheme] | (_RTSP_OPTIONS[rtsp_transport] if rtsp else _HTTP_OPTIONS)
    process = DecoderProcess(
        for_ffmpeg(spec),
        name,
        hint=_STREAM_HINT,
        options=options,
        most_fps=max_fps,
        by_clock=True,
    )
    stream = partial(Stream, name, process.open, end=process.close, frozen_s=frozen_s)
    if rtsp:
        return stream(patient=wait)
    try:
        first = process.open()
    except SourceError as error:
        if not wait or isinstance(error, SourceRefused):
            process.close()
            raise
        return stream(patient=True, ends=True)
    if first.duration_s is not None:
        return VideoFile(first, realtime)
    return stream(first=first)


def _video(path: str, name: str, realtime: bool, max_fps: float | None, laps: int = 1) -> Source:
    # What takes its time to import is imported where it is used: cameras are decoded elsewhere.
    from splitfer.edge_client.sources.video_decoder import VideoDecoder

    return VideoFile(VideoDecoder(path, name, most_fps=max_fps), realtime, laps)


def _demo_clip() -> Path:
    return Path(str(resources.files("splitfer.edge_client.assets").joinpath("demo.mp4")))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def _path(path: Path, realtime: bool, picture_pixels: int, max_fps: float | None) -> Source:
    try:
        if path.is_dir():
            pictures = _pictures_in(path)
            if not pictures:
                raise SourceError(f"{path}: no picture in this folder: {PICTURE_KINDS}")
            return Pictures(pictures, str(path), realtime, picture_pixels)
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file; name {KINDS}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise SourceError(f"{path}: the file is empty")
    if is_picture(start):
        return Pictures([path], str(path), realtime, picture_pixels)
    return _video(str(path), str(path), realtime, max_fps)
