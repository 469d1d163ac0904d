from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import MAX_PAYLOAD_BYTES, PayloadCodec
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import CodecError

RATES = 3
LATENTS = st.builds(
    Latent, arrays(np.uint8, LATENT_SHAPE, elements=st.integers(113, 143)), st.integers(0, 2)
)


@pytest.fixture(scope="module", params=["raw", "entropy"])
def codec(request: pytest.FixtureRequest) -> PayloadCodec:
    tables = request.getfixturevalue("entropy_tables") if request.param == "entropy" else None
    return PayloadCodec(tables, RATES)


@given(data=st.binary(max_size=200) | st.binary(min_size=6200, max_size=MAX_PAYLOAD_BYTES + 10))
def test_any_bytes_give_a_latent_or_a_codec_error(codec: PayloadCodec, data: bytes) -> None:
    _latent_or_error(codec, data)


@given(first=st.integers(0, 255), body=st.binary(max_size=200))
def test_any_body_with_a_right_checksum(codec: PayloadCodec, first: int, body: bytes) -> None:
    payload = struct.pack(">BI", first, zlib.crc32(bytes((first,)) + body)) + body
    _latent_or_error(codec, payload)


@given(latent=LATENTS, data=st.data())
def test_damaged_payloads_give_a_latent_or_a_codec_error(
    codec: PayloadCodec, latent: Latent, data: st.DataObject
) -> None:
    payload = codec.encode(latent)
    at = data.draw(st.integers(0, len(payload)))
    _latent_or_error(codec, payload[:at] + data.draw(st.binary(max_size=8)) + payload[at + 4 :])


@given(latent=LATENTS)
def test_round_trip(codec: PayloadCodec, latent: Latent) -> None:
    payload = codec.encode(latent)
    assert len(payload) <= MAX_PAYLOAD_BYTES
    back = codec.decode(payload)
    np.testing.assert_array_equal(back.symbols, latent.symbols)
    assert back.rate == latent.rate


def _latent_or_error(codec: PayloadCodec, data: bytes) -> None:
    try:
        latent = codec.decode(data)
    except CodecError as error:
        message = str(error)
    else:
        message = "a latent"
        assert (latent.symbols.dtype, latent.symbols.shape) == (np.uint8, LATENT_SHAPE)
        assert 0 <= latent.rate < RATES
    assert message
    assert "\n" not in message
