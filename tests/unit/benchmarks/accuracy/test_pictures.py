from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.picture_codec import PictureCodec, avif_is_there, picture_codec
from benchmarks.accuracy.picture_grid import LEAST_STEP, Sampled, sample, worth_measuring
from tests.unit.training.faces import made_faces

PICTURES = made_faces(4, seed=5).pictures


@pytest.mark.parametrize("name", ["jpeg:75", "webp:1", "webp:lossless", "png"])
def test_picture_codecs(name: str) -> None:
    codec = picture_codec(name)
    data = codec.encode(PICTURES[0])
    assert 50 < len(data) < 4000
    assert codec.decode(data).shape == (48, 48)
    if name in ("webp:lossless", "png"):
        np.testing.assert_array_equal(codec.decode(data), PICTURES[0])


@pytest.mark.skipif(not avif_is_there(), reason="this Pillow has no AVIF")
def test_avif() -> None:
    codec = PictureCodec("avif", 50, 64)
    assert codec.decode(codec.encode(PICTURES[0])).shape == (64, 64)


@pytest.mark.parametrize("name", ["", "gif", "jpeg", "jpeg:0", "jpeg:101", "png:1", "jpeg:x"])
def test_other_picture_codecs_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="none of jpeg"):
        picture_codec(name)


def test_a_side_is_the_files() -> None:
    codec = PictureCodec("webp", 50, 32)
    assert codec.decode(codec.encode(PICTURES[0])).shape == (32, 32)
    assert str(codec) == "webp:50, 32x32 grey"


def test_a_sample_tells_size_and_likeness() -> None:
    coarse, fine = (sample(PictureCodec("jpeg", quality), PICTURES) for quality in (5, 90))
    assert coarse.bytes_mean < fine.bytes_mean
    assert coarse.error > fine.error
    assert sample(PictureCodec("png", None), PICTURES).error == 0


def test_only_what_nothing_betters_is_measured() -> None:
    def point(sent: float, error: float) -> Sampled:
        return Sampled(PictureCodec("jpeg", 50), sent, error)

    good = [point(100, 9), point(200, 5), point(400, 1)]
    worse = [point(150, 9), point(210, 7), point(500, 1)]
    assert worth_measuring([*worse, *good]) == good
    near = point(200 * LEAST_STEP - 1, 4.9)
    assert worth_measuring([*good, near]) == good
    last = point(400 * LEAST_STEP - 1, 0.9)
    assert worth_measuring([*good, last]) == [*good, last]
