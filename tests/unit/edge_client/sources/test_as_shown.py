"""What a file says of its pictures is done, as players do it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from splitfer.edge_client.sources.open import open_source

PLAIN = ("00010000", "00000000", "00000000", "00010000")
MINUS, NONE, PLUS = "ffff0000", "00000000", "00010000"


def write_corner(path: Path, aspect: Fraction | None = None) -> Path:
    """A picture of 64x48, black, its upper left quarter white."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def place(path: Path, a: str, b: str, c: str, d: str) -> None:
    """Write the matrix of an MP4's track: x' = a x + c y, y' = b x + d y."""

    def matrix(a: str, b: str, c: str, d: str) -> bytes:
        return bytes.fromhex(a + b + NONE + c + d + NONE * 3 + "40000000")

    data = bytearray(path.read_bytes())
    at = data.index(matrix(*PLAIN), data.index(b"tkhd"))
    data[at : at + 36] = matrix(a, b, c, d)
    path.write_bytes(data)


def corner(rgb: NDArray[np.uint8]) -> tuple[str, str]:
    """Where the white quarter is."""
    height, width = rgb.shape[:2]
    rows, columns = np.nonzero(rgb[:, :, 0] > 128)
    return (
        "upper" if rows.mean() < height / 2 else "lower",
        "left" if columns.mean() < width / 2 else "right",
    )


@pytest.mark.parametrize(
    ("matrix", "shape", "where"),
    [
        (PLAIN, (48, 64), ("upper", "left")),
        ((MINUS, NONE, NONE, PLUS), (48, 64), ("upper", "right")),
        ((PLUS, NONE, NONE, MINUS), (48, 64), ("lower", "left")),
        ((MINUS, NONE, NONE, MINUS), (48, 64), ("lower", "right")),
        ((NONE, PLUS, MINUS, NONE), (64, 48), ("upper", "right")),
        ((NONE, MINUS, PLUS, NONE), (64, 48), ("lower", "left")),
        ((NONE, PLUS, PLUS, NONE), (64, 48), ("upper", "left")),
        ((NONE, MINUS, MINUS, NONE), (64, 48), ("lower", "right")),
    ],
    ids=["plain", "mirrored", "upside down", "half", "right", "left", "transposed", "transverse"],
)
def test_a_picture_is_turned_and_mirrored(
    tmp_path: Path,
    matrix: tuple[str, str, str, str],
    shape: tuple[int, int],
    where: tuple[str, str],
) -> None:
    path = write_corner(tmp_path / "clip.mp4")
    place(path, *matrix)
    with open_source(str(path)) as source:
        frame = next(iter(source))
    assert frame.rgb.shape[:2] == shape
    assert corner(frame.rgb) == where


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(12, 11), 70), (Fraction(1, 2), 32)])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, width: int, ending: str) -> None:
    path = write_corner(tmp_path / f"clip{ending}", aspect)
    with open_source(str(path)) as source:
        assert {frame.rgb.shape for frame in source} == {(48, width, 3)}
