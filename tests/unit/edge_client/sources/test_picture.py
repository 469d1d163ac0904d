from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client.sources.picture import is_picture, picture_of, read_picture
from splitfer.shared.errors import ImageError, PayloadTooLarge, SourceError, UnsupportedPicture
from tests.heif import tiled_heic

MOST = 16_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def small(astronaut: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(astronaut[:60, :80])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_the_kinds_that_are_read(small: Image.Image, kind: str) -> None:
    data = encoded(small, kind)
    assert is_picture(data[:16])
    rgb = read_picture(data, MOST).rgb
    assert (rgb.dtype, rgb.shape) == (np.uint8, (60, 80, 3))
    assert np.abs(rgb.astype(int) - np.asarray(small).astype(int)).mean() < 12


def test_every_tile_of_a_telephones_heic_is_read() -> None:
    data = tiled_heic([20, 120, 220])
    assert is_picture(data[:16])
    rgb = read_picture(data, MOST).rgb
    assert rgb.shape == (64, 192, 3)
    greys = [float(rgb[:, 64 * i + 8 : 64 * i + 56].mean()) for i in range(3)]
    assert greys == pytest.approx([20, 120, 220], abs=6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_read(small: Image.Image, kind: str) -> None:
    other = Image.new("RGB", small.size)
    data = encoded(small, kind, save_all=True, append_images=[other])
    assert np.abs(read_picture(data, MOST).rgb.astype(int) - np.asarray(small)).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_picture_over_the_limit_is_reduced_and_says_by_how_much(
    small: Image.Image, kind: str
) -> None:
    picture = read_picture(encoded(small, kind), 1200)
    height, width = picture.rgb.shape[:2]
    assert height * width <= 1200 < 1.2 * height * width
    assert picture.reduced_by == pytest.approx(80 / width)
    assert 60 / height == pytest.approx(80 / width, rel=0.04)


def test_a_turned_picture_over_the_limit_keeps_its_scale(small: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_picture(encoded(small, "JPEG", exif=exif), 1200)
    assert picture.rgb.shape[0] > picture.rgb.shape[1]
    assert picture.reduced_by == pytest.approx(2, rel=0.05)


def test_what_cannot_even_be_reduced_is_refused() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    with pytest.raises(PayloadTooLarge, match="pixels"):
        read_picture(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""), MOST)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_become_8_bit_ones_and_not_white(kind: str) -> None:
    greys = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    rgb = read_picture(encoded(Image.fromarray(greys), kind), MOST).rgb
    assert np.abs(rgb[:, :, 0].reshape(-1).astype(int) - np.arange(256)).max() <= 1


def test_a_picture_that_pillow_opened_and_cannot_read_is_damaged(small: Image.Image) -> None:
    data = encoded(small, "JPEG", quality=90)
    opened = Image.open(io.BytesIO(data[: len(data) // 2]))
    with pytest.raises(ImageError, match="damaged or cut short"):
        picture_of(opened, MOST)


def test_a_jpeg_without_its_last_bytes_is_read_with_a_warning(
    small: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(small, "JPEG", quality=90)
    rgb = read_picture(data[:-40], MOST, "a.jpg").rgb
    assert np.abs(rgb[:40].astype(int) - np.asarray(small)[:40]).mean() < 8
    assert "a.jpg is cut short" in caplog.text


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_lacks_most_of_it_is_refused(small: Image.Image, kind: str) -> None:
    data = encoded(small, kind)
    with pytest.raises(ImageError):
        read_picture(data[: int(len(data) * 0.4)], MOST)


@pytest.mark.parametrize("data", [b"", b"hello, world" * 20, b"%PDF-1.7\n", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_picture(data, MOST)


def test_what_a_program_has_for_a_picture_is_taken(small: Image.Image, tmp_path: Path) -> None:
    data = encoded(small, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    rgb = np.asarray(small)
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 9, np.uint8)])
    with path.open("rb") as file:
        given = [path, str(path), data, bytearray(data), memoryview(data), file, small, rgb, rgba]
        for image in given:
            np.testing.assert_array_equal(picture_of(image, MOST).rgb, rgb)
    grey = small.convert("L")
    for image in (grey, np.asarray(grey), np.asarray(grey)[:, :, None]):
        np.testing.assert_array_equal(picture_of(image, MOST).rgb[:, :, 1], np.asarray(grey))


def test_a_program_hears_what_is_wrong_with_its_picture(tmp_path: Path) -> None:
    for array in (np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="expected uint8 of grey"):
            picture_of(array, MOST)
    with pytest.raises(ValueError, match="binary mode"):
        picture_of(io.StringIO("text"), MOST)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not int"):
        picture_of(3, MOST)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"gone\.jpg"):
        picture_of(tmp_path / "gone.jpg", MOST)
    (tmp_path / "notes.jpg").write_text("notes")
    with pytest.raises(UnsupportedPicture, match=r"notes\.jpg.*HEIC"):
        picture_of(tmp_path / "notes.jpg", MOST)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_a_picture_of_an_instrument_takes_little_more_memory_than_it_has(mode: str) -> None:
    side = 2000
    ramp = np.linspace(0, 65535, side).astype(
        {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    )
    image = Image.fromarray(np.tile(ramp, (side, 1)))
    assert image.mode == mode
    out = io.BytesIO()
    image.save(out, "TIFF")
    tracemalloc.start()
    try:
        decoded = read_picture(out.getvalue(), most_pixels=10_000)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    row = decoded.rgb[50, :, 0].astype(int)
    assert row[0] < 5
    assert row[-1] > 250
    assert (np.diff(row) >= 0).all()
    # Its own values twice, while they are taken from Pillow, and the greys.
    assert most_bytes < side * side * 13
