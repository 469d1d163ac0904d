"""Pictures as bytes, good and bad."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def grey(side: int, value: int = 127) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def animated(kind: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.fromarray(grey(64, value)) for value in (0, 255)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


def png_of(width: int, height: int, bit_depth: int = 8) -> bytes:
    """A small file that says it is large."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


# name: (bytes, our code)
BAD = {
    "empty": (b"", "bad_picture"),
    "text": (b"not a picture at all", "unsupported_picture"),
    "truncated JPEG": (encoded(grey(200))[:-200], "bad_picture"),
    "truncated PNG": (encoded(np.random.default_rng(0).integers(
        0, 255, (99, 99, 3), dtype=np.uint8), "PNG")[:5000], "bad_picture"),
    "GIF": (encoded(grey(64), "GIF"), "unsupported_picture"),
    "animated PNG": (animated("PNG"), "unsupported_picture"),
    "animated WebP": (animated("WEBP"), "unsupported_picture"),
    "16-bit PNG": (encoded(np.zeros((64, 64), np.uint16), "PNG"), "unsupported_picture"),
    "too many pixels": (png_of(5000, 4000), "too_large"),
    "bomb": (png_of(60_000, 60_000), "too_large"),
}  # fmt: skip
