"""A face as a picture file, with everything on that makes it small."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from splitfer.shared.contracts import Limits
from splitfer.shared.vision.crop import DETAIL_SIDE
from splitfer.shared.vision.picture import decode_picture, to_grey

NAMES = "jpeg:1-100, webp:1-100, webp:lossless, avif:1-100, png"
_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"optimize": True},
    "webp": {"method": 6},
    "avif": {"speed": 6, "max_threads": 1},  # slower gains next to nothing at these sizes
    "png": {"optimize": True},
}


@dataclass(frozen=True)
class PictureCodec:
    """Grey pictures to files of ``side_px`` and back; ``quality`` None is without loss."""

    kind: str
    quality: int | None
    side_px: int = DETAIL_SIDE

    def __str__(self) -> str:
        setting = self.quality or ("lossless" if self.kind == "webp" else "")
        return f"{self.kind}{setting and ':'}{setting}, {self.side_px}x{self.side_px} grey"

    def encode(self, grey: NDArray[np.uint8]) -> bytes:
        """uint8 ``(H, W)`` -> the bytes of a file."""
        image, size = Image.fromarray(grey), (self.side_px, self.side_px)
        if image.size != size:
            # Keeps more of what is fine than the others do, for the codec's benefit.
            image = image.resize(size, Image.Resampling.LANCZOS)
        options = _OPTIONS[self.kind]
        if self.quality is not None:
            options = options | {"quality": self.quality}
        elif self.kind == "webp":
            options = options | {"lossless": True}
        out = io.BytesIO()
        image.save(out, self.kind, **options)
        return out.getvalue()

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The bytes of a file -> grey uint8 ``(side, side)``, as the server reads it.

        The server reads no AVIF; Pillow does.
        """
        if self.kind == "avif":
            with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
                return np.asarray(image.convert("L"))
        return to_grey(decode_picture(data, Limits().picture_pixels))


def picture_codec(name: str) -> PictureCodec:
    """One of ``NAMES``, such as ``webp:60``.

    Raises:
        ValueError: another name, a quality outside 1..100, or a codec that Pillow lacks here.
    """
    kind, _, setting = name.partition(":")
    if kind == "avif" and not avif_is_there():
        raise ValueError("this Pillow was built without AVIF")
    if name in ("png", "webp:lossless"):
        return PictureCodec(kind, None)
    if kind in ("jpeg", "webp", "avif") and setting.isdecimal() and 1 <= int(setting) <= 100:
        return PictureCodec(kind, int(setting))
    raise ValueError(f"{name!r} is none of {NAMES}")


def avif_is_there() -> bool:
    """Whether Pillow writes AVIF here."""
    return bool(features.check("avif"))
