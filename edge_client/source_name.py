"""What a person types to name a source, and which of it is a path."""

from __future__ import annotations

import os
import re

DEMO = re.compile(r"demo(?:\*([1-9]\d?))?")
KINDS = (
    "a picture, a folder of pictures, a video file, a camera's number, picamera:0, "
    "an rtsp:// or http(s):// address, or demo"
)


PRINTABLE_NAME = r"^[^\x00-\x1f\x7f]{1,100}$"
"""Names of sources and devices: printable, and short enough for a column."""

PICAMERA = re.compile(r"picamera:([0-9])")
"""The Pi's own camera, by its number."""


def is_camera_number(spec: str) -> bool:
    """Whether it is such as 0, which is ``/dev/video0``."""
    return spec.isascii() and spec.isdigit()


def names_a_path(spec: str) -> bool:
    """Whether it is neither the demo, a camera nor an address."""
    known = DEMO.fullmatch(spec) or PICAMERA.fullmatch(spec) or is_camera_number(spec)
    return not (known or "://" in spec)


def slug(text: str) -> str:
    """A name as a level of a topic, a part of an id, or of a file's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "device"


def as_text(name: str) -> str:
    """A file's name, which is bytes, as text that every reader takes: what is none is escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
