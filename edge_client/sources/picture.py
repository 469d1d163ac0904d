"""Pictures as people have them, to arrays: more kinds than the server reads, since nobody hostile
chose them; and pictures that a program holds already."""

from __future__ import annotations

import errno
import io
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from splitfer.shared.errors import (
    ImageError,
    PayloadTooLarge,
    SourceError,
    SplitFerError,
    UnsupportedPicture,
)

PictureLike: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | NDArray[np.uint8]
)
KINDS = "JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC"
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff",
    ".gif", ".avif", ".heic", ".heif", ".hif",
})  # fmt: skip

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"mif2")
_AVIF_BRANDS = (b"avif", b"avis")
_END_OF_JPEG = b"\xff\xd9"
# Before it is reduced a picture stands in memory whole, with four bytes a pixel at most.
_MOST_PIXELS = 256_000_000
_BAND_ROWS = 64
LONGEST_BYTES = 256 * 2**20
"""Of a file; a device such as /dev/zero never ends."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """``rgb`` uint8 ``(H, W, 3)``, upright; its sides were ``reduced_by`` times as large."""

    rgb: NDArray[np.uint8]
    reduced_by: float = 1.0


def is_picture(start: bytes) -> bool:
    """Whether a file that begins so is a picture of ``KINDS``; 16 bytes tell."""
    if start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return True
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return True
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS + _AVIF_BRANDS


def read_picture(data: bytes, most_pixels: int, name: str = "the picture") -> Decoded:
    """A file of ``KINDS`` -> RGB, turned as it says; of several pictures the first.

    One with more than ``most_pixels`` is reduced to that, one of 16 bits a channel to 8. A JPEG
    that lacks its end is read with a warning that calls it ``name``.

    Raises:
        ImageError: empty, damaged, or less than half is there.
        UnsupportedPicture: another format.
        PayloadTooLarge: so large that it cannot be reduced.
    """
    if not data:
        raise ImageError(f"the file is empty: a picture is {KINDS}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            try:
                return _decoded(data, most_pixels)
            except OSError as error:
                if not data.startswith(b"\xff\xd8\xff") or "truncated" not in str(error):
                    raise
                decoded = _decoded(data + _END_OF_JPEG, most_pixels)
            _refuse_half(decoded.rgb)
            _log.warning("%s is cut short: what is missing is grey, or coarse", name)
            return decoded
    except SplitFerError:
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedPicture(f"not a picture that is read here: {KINDS}") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise PayloadTooLarge("the picture has more pixels than can be reduced here") from error
    except Exception as error:  # the parsers let almost any class out on damaged bytes
        raise ImageError(f"the picture is damaged or cut short: {error}") from error


def _read_file(path: Path) -> bytes:
    """The bytes of a picture file, or of a pipe that gives one.

    Raises:
        OSError: it cannot be read, or holds more than any picture.
    """
    with path.open("rb") as file:
        data = file.read(LONGEST_BYTES + 1)
    if len(data) > LONGEST_BYTES:
        what = f"it holds more than {LONGEST_BYTES // 2**20} MiB"
        raise OSError(errno.EFBIG, what, str(path))
    return data


def picture_of(image: PictureLike, most_pixels: int) -> Decoded:
    """Whatever a program has for a picture -> RGB: a path, the bytes of a file or an open binary
    file (``read_picture``), a Pillow picture, or an array uint8 of grey ``(H, W)`` or
    ``(H, W, 1)``, RGB ``(H, W, 3)`` or RGBA ``(H, W, 4)``. Arrays are not reduced.

    Raises:
        SourceError: the path cannot be read.
        ImageError, PayloadTooLarge: as ``read_picture``.
        ValueError: another array; an open file that gives text.
        TypeError: nothing of these.
    """
    if isinstance(image, np.ndarray):
        return Decoded(rgb_of_array(image))
    if isinstance(image, Image.Image):
        try:
            return _as_rgb(image, most_pixels)
        except (OSError, SyntaxError) as error:  # of a file that Pillow opened, and reads only now
            raise ImageError(f"the picture is damaged or cut short: {error}") from error
    if isinstance(image, bytes | bytearray | memoryview):
        return read_picture(bytes(image), most_pixels)
    if isinstance(image, str | os.PathLike):
        return _of_path(Path(image), most_pixels)
    if callable(getattr(image, "read", None)):
        data = image.read()
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ValueError("the file gives text: open it in binary mode ('rb')")
        return read_picture(bytes(data), most_pixels)
    raise TypeError(
        f"a picture is a path, bytes, a binary file, a Pillow picture or an array of uint8, "
        f"not {type(image).__name__}"
    )


def _of_path(path: Path, most_pixels: int) -> Decoded:
    try:
        data = _read_file(path)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    try:
        return read_picture(data, most_pixels, str(path))
    except (ImageError, PayloadTooLarge) as error:
        raise type(error)(f"{path}: {error}") from error


def rgb_of_array(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An array uint8 of grey ``(H, W)`` or ``(H, W, 1)``, RGB ``(H, W, 3)`` or RGBA ``(H, W, 4)``
    -> RGB uint8 ``(H, W, 3)`` in one piece of memory.

    Raises:
        ValueError: another array.
        TypeError: no array.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected an array of uint8, not {type(array).__name__}")
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not array.size or not (grey or colour):
        raise ValueError(
            "expected uint8 of grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), "
            f"not {array.dtype} {array.shape}"
        )
    if grey:
        height, width = array.shape[:2]
        return np.repeat(array.reshape(height, width, 1), 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def _decoded(data: bytes, most_pixels: int) -> Decoded:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return _as_rgb(_heif(data), most_pixels)
    return _as_rgb(Image.open(io.BytesIO(data), formats=_FORMATS), most_pixels)


def _heif(data: bytes) -> Image.Image:
    """HEIC as telephones write it, its tiles put together, upright."""
    try:
        import pi_heif
    except ImportError:
        raise UnsupportedPicture(
            "HEIC is read where the package pi-heif is installed: pip install pi-heif"
        ) from None
    image: Image.Image = pi_heif.open_heif(data, convert_hdr_to_8bit=True).to_pillow()
    return image


def _as_rgb(image: Image.Image, most_pixels: int) -> Decoded:
    own_width = image.width
    if image.format in ("JPEG", "MPO") and image.width * image.height > most_pixels:
        # The decoder leaves out what would be thrown away: a quarter or less of the memory.
        ratio = (most_pixels / (image.width * image.height)) ** 0.5
        image.draft(None, (round(image.width * ratio), round(image.height * ratio)))
    pixels = image.width * image.height
    if pixels > max(_MOST_PIXELS, most_pixels):
        raise PayloadTooLarge(
            f"the picture is {image.width}x{image.height}; at most {_MOST_PIXELS} pixels are read"
        )
    if pixels > most_pixels:
        ratio = (most_pixels / pixels) ** 0.5
        size = (max(1, int(image.width * ratio)), max(1, int(image.height * ratio)))
        image = _eight_bits(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    else:
        image = _eight_bits(image)
    rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return Decoded(rgb, own_width / image.width)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The same with 8 bits a channel, loaded; what Pillow would cut off at white is scaled."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        # 16-bit greys have their scale; others, of instruments, have whatever they have.
        low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _ends(values)
        grey = np.empty(values.shape, np.uint8)
        for rows in _bands(values):
            band = (values[rows].astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))
            grey[rows] = np.clip(band, 0, 255)
        scaled = Image.fromarray(grey)
        scaled.info = image.info
        return scaled
    image.load()
    if image.mode in ("P", "PA", "1"):
        return image.convert("RGB")
    return image


def _bands(values: NDArray[Any]) -> Iterator[slice]:
    """Rows, some at a time: of all at once floats would take many times the picture's memory."""
    return (slice(top, top + _BAND_ROWS) for top in range(0, len(values), _BAND_ROWS))


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    ends = []
    for rows in _bands(values):
        finite = values[rows][np.isfinite(values[rows])]
        if finite.size:
            ends.append((float(finite.min()), float(finite.max())))
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 1.0)


def _refuse_half(rgb: NDArray[np.uint8]) -> None:
    """Refuse a JPEG whose end is missing, which Pillow fills with copies of its last row."""
    same = (rgb == rgb[-1:]).all(axis=(1, 2))
    missing = int(np.argmin(same[::-1])) if not same.all() else len(same)
    if missing > len(rgb) / 2:
        raise ImageError("the picture is cut short: more than half of it is missing")
