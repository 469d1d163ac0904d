from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.attack.messages import many_scans
from splitfer.shared.errors import ImageError, PayloadTooLarge, UnsupportedPicture
from splitfer.shared.vision.picture import SCANS_MAX, count_scans, decode_picture, encode_jpeg

MOST = 16_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour: int, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


@pytest.fixture
def small(astronaut: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(astronaut[:60, :80])


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})]
)
def test_the_three_formats(small: Image.Image, kind: str, options: dict[str, object]) -> None:
    rgb = decode_picture(encoded(small, kind, **options), MOST)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (60, 80, 3))
    off = np.abs(rgb.astype(int) - np.asarray(small).astype(int)).mean()
    assert off <= (4 if kind == "JPEG" else 0)


def test_encode_jpeg_is_read_back(small: Image.Image) -> None:
    rgb = decode_picture(encode_jpeg(np.asarray(small), 90), MOST)
    assert np.abs(rgb.astype(int) - np.asarray(small).astype(int)).mean() < 5


def test_grey_becomes_three_equal_channels(small: Image.Image) -> None:
    rgb = decode_picture(encoded(small.convert("L"), "PNG"), MOST)
    np.testing.assert_array_equal(rgb, np.asarray(small.convert("L").convert("RGB")))


@pytest.mark.parametrize(
    ("value", "turn"),
    [
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a, 1)),
        (2, lambda a: a[:, ::-1]),
    ],
)
def test_exif_rotation_is_applied(small: Image.Image, value: int, turn: object) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    rgb = decode_picture(encoded(small, "PNG", exif=exif), MOST)
    np.testing.assert_array_equal(rgb, turn(np.asarray(small)))  # type: ignore[operator]


def test_cmyk_jpeg_is_converted(small: Image.Image) -> None:
    rgb = decode_picture(encoded(small.convert("CMYK"), "JPEG", quality=95), MOST)
    assert np.abs(rgb.astype(int) - np.asarray(small).astype(int)).mean() < 6


def test_palette_png_with_transparency_is_converted(small: Image.Image) -> None:
    palette = small.quantize(16)
    for transparency in (3, bytes(range(16))):
        rgb = decode_picture(encoded(palette, "PNG", transparency=transparency), MOST)
        np.testing.assert_array_equal(rgb, np.asarray(palette.convert("RGB")))


def test_transparency_is_dropped(small: Image.Image) -> None:
    clear = small.copy()
    clear.putalpha(7)
    np.testing.assert_array_equal(decode_picture(encoded(clear, "PNG"), MOST), np.asarray(small))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animated_is_refused(small: Image.Image, kind: str) -> None:
    data = encoded(
        small, kind, save_all=True, append_images=[small.transpose(Image.Transpose.ROTATE_180)]
    )
    with pytest.raises(UnsupportedPicture, match="animated"):
        decode_picture(data, MOST)


def test_a_telephones_jpeg_with_a_second_picture_behind_it_is_a_still(small: Image.Image) -> None:
    data = encoded(small, "MPO", save_all=True, append_images=[small.resize((40, 30))])
    assert decode_picture(data, MOST).shape == (60, 80, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(4, 2, 16, 0, (b"\0" + bytes(8)) * 2), id="grey"),
        pytest.param(png(4, 2, 16, 2, (b"\0" + bytes(24)) * 2), id="colour"),
        pytest.param(png(4, 2, 16, 6, (b"\0" + bytes(32)) * 2), id="colour and alpha"),
    ],
)
def test_16_bit_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedPicture, match="16-bit"):
        decode_picture(data, MOST)


def test_16_bit_behind_another_chunk_is_refused() -> None:
    data = png(4, 2, 16, 2, (b"\0" + bytes(24)) * 2)
    with pytest.raises(ImageError):
        decode_picture(data[:8] + chunk(b"tEXt", b"a\0b") + data[8:], MOST)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10**6, 17), (65_000, 65_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(PayloadTooLarge, match="pixels"):
        decode_picture(png(width, height, 8, 0), MOST)


def test_one_pixel_over_the_limit(small: Image.Image) -> None:
    data = encoded(small, "PNG")
    assert decode_picture(data, 4800).shape == (60, 80, 3)
    with pytest.raises(PayloadTooLarge, match="80x60; at most 4799 pixels"):
        decode_picture(data, 4799)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_short(small: Image.Image, kind: str, share: float) -> None:
    data = encoded(small, kind)
    with pytest.raises(ImageError):
        decode_picture(data[: int(len(data) * share)], MOST)


def test_empty() -> None:
    with pytest.raises(ImageError, match="empty"):
        decode_picture(b"", MOST)


@pytest.mark.parametrize("data", [b"\0", b"hello, world" * 20, b"%PDF-1.7\n", b"\xff\xd8"])
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_picture(data, MOST)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(small: Image.Image, kind: str) -> None:
    with pytest.raises(UnsupportedPicture, match="JPEG, PNG or WebP"):
        decode_picture(encoded(small, kind), MOST)


def test_a_usual_progressive_jpeg_is_read(small: Image.Image) -> None:
    data = encoded(small, "JPEG", progressive=True)
    assert 1 < count_scans(data, SCANS_MAX) < 20
    assert decode_picture(data, MOST).shape == (small.height, small.width, 3)


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode_picture(many_scans(1100, 64), MOST)
    # A large one takes longer for each of them.
    large = many_scans(40, 1000)
    assert decode_picture(large, 10 * 1000 * 1000).shape == (1000, 1000, 3)
    with pytest.raises(ImageError, match="more than 16 scans"):
        decode_picture(large, 1000 * 1000)


def test_scans_of_pictures_inside_and_behind_do_not_count(small: Image.Image) -> None:
    thumbnail = encoded(small, "JPEG", progressive=True)
    plain = encoded(small, "JPEG")
    inside = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = plain[:2] + inside + plain[2:] + thumbnail
    assert count_scans(data, SCANS_MAX) == count_scans(plain, SCANS_MAX) == 1
