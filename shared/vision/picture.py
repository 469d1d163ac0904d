"""Encoded pictures to arrays, with everything that a peer controls checked first."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from splitfer.shared.errors import ImageError, PayloadTooLarge, SplitFerError, UnsupportedPicture

FORMATS = ("JPEG", "PNG", "WEBP")
# A progressive JPEG is gone through once a scan, and a scan of nothing takes a few bytes. A usual
# one has ten. A small picture may have the first number of them, the largest one the other.
SCANS_MAX, _SCANS_OF_THE_LARGEST = 100, 16
_JPEG_START, _SCAN, _JPEG_END, _ALONE = b"\xff\xd8", 0xDA, 0xD9, (0x01, 0xD8)
# Neither a byte that is stuffed, nor a restart inside of a scan.
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# PNG's first chunk has to be IHDR: its name stands here, its bit depth behind width and height.
_PNG_FIRST_CHUNK = slice(12, 16)
_PNG_BIT_DEPTH_AT = 24


def decode_picture(
    data: bytes, most_pixels: int, about_to: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """JPEG, PNG or WebP -> RGB uint8 ``(H, W, 3)``, turned as its EXIF says.

    CMYK and palette pictures are converted. The size is checked before a pixel is decoded; then
    ``about_to`` is called with width and height. What it raises is raised here.

    Raises:
        ImageError: empty, damaged, cut short, or a JPEG of too many scans.
        UnsupportedPicture: another format, animated, or 16 bits a channel.
        PayloadTooLarge: more pixels than ``most_pixels``.
    """
    if not data:
        raise ImageError("the picture is empty: send the bytes of a JPEG, PNG or WebP file")
    with _our_errors(most_pixels):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check(image, data, most_pixels)
    if about_to is not None:
        about_to(*image.size)
    with _our_errors(most_pixels):
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        # A copy fewer of a large picture.
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 ``(H, W, 3)`` -> uint8 ``(H, W)`` by ITU-R 601 weights."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


@contextmanager
def _our_errors(most_pixels: int) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # The size is checked against our own limit; the rest of what Pillow warns of (damaged
            # EXIF, palette transparency) is not the operator's to act on.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except SplitFerError:
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedPicture("not a picture that is read here: JPEG, PNG or WebP") from error
    except Image.DecompressionBombError as error:
        raise PayloadTooLarge(f"the picture has more than {most_pixels} pixels") from error
    except Exception as error:  # Pillow's parsers let almost any class out on hostile bytes
        raise ImageError(f"the picture is damaged or cut short: {error}") from error


def _check(image: Image.Image, data: bytes, most_pixels: int) -> None:
    width, height = image.size
    if width * height > most_pixels:
        raise PayloadTooLarge(f"the picture is {width}x{height}; at most {most_pixels} pixels")
    if data.startswith(_JPEG_START):
        most = min(SCANS_MAX, _SCANS_OF_THE_LARGEST * most_pixels // max(1, width * height))
        if count_scans(data, most) > most:
            raise ImageError(
                f"the JPEG has more than {most} scans: save it again, baseline or as a usual "
                "progressive one"
            )
    # A JPEG with further pictures behind it (MPO, as many telephones write) is a still picture.
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise UnsupportedPicture("animated pictures are not read: send one frame")
    # Pillow narrows 16-bit colour to 8 bits without a word, so the file itself is asked.
    if image.format == "PNG" and data[_PNG_FIRST_CHUNK] != b"IHDR":
        raise ImageError("the picture is damaged: a PNG has to start with its header")
    if image.format == "PNG" and data[_PNG_BIT_DEPTH_AT] > 8:
        raise UnsupportedPicture("16-bit pictures are not read: send 8 bits a channel")


def count_scans(jpeg: bytes, most: int) -> int:
    """The scans of the first picture in a JPEG file, counted up to ``most`` and one more."""
    count = place = 0
    while count <= most and (found := _JPEG_MARKER.search(jpeg, place)):
        marker, place = found[1][0], found.end()
        if marker == _JPEG_END:
            break
        if marker not in _ALONE:
            count += marker == _SCAN
            place += max(2, int.from_bytes(jpeg[place : place + 2], "big"))
    return count


def encode_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """RGB uint8 ``(H, W, 3)`` -> the bytes of a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue()
