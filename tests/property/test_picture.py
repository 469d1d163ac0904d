from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from splitfer.shared.errors import SplitFerError
from splitfer.shared.vision.picture import decode_picture

MOST = 100_000


def _seed(kind: str) -> bytes:
    ramp = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)
    image = Image.fromarray(np.stack((ramp, ramp * 2, 255 - ramp), axis=2))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    out = io.BytesIO()
    image.save(out, kind, exif=exif)
    return out.getvalue()


SEEDS = {kind: _seed(kind) for kind in ("JPEG", "PNG", "WEBP")}


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_pictures_give_an_array_or_our_error(kind: str, data: st.DataObject) -> None:
    picture = bytearray(SEEDS[kind])
    # Most of what can go wrong stands in the first bytes.
    places = st.integers(0, 100) | st.integers(0, len(picture) - 1)
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)
    ):
        picture[place] = value
    end = data.draw(st.just(len(picture)) | st.integers(0, len(picture)))
    _array_or_error(bytes(picture[:end]))


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_give_an_array_or_our_error(data: bytes) -> None:
    _array_or_error(data)


def _array_or_error(data: bytes) -> None:
    try:
        rgb = decode_picture(data, MOST)
    except SplitFerError:
        pass
    else:
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3
        assert rgb.shape[2] == 3
        assert 0 < rgb.shape[0] * rgb.shape[1] <= MOST
