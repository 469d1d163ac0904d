from __future__ import annotations

import struct
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.codec.payload import MAX_PAYLOAD_BYTES, PayloadCodec
from shared.contracts import LATENT_SHAPE
from shared.errors import CodecError
from shared.latent import Latent

RATES = 3
CODEC = PayloadCodec(None, RATES)
LATENTS = st.builds(Latent, arrays(np.uint8, LATENT_SHAPE), st.integers(0, RATES - 1))


@given(st.binary(max_size=200) | st.binary(min_size=6200, max_size=MAX_PAYLOAD_BYTES + 10))
def test_any_bytes_give_a_latent_or_a_codec_error(data: bytes) -> None:
    _latent_or_error(data)


@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_body_with_a_right_checksum(first: int, body: bytes) -> None:
    _latent_or_error(struct.pack(">BI", first, zlib.crc32(bytes((first,)) + body)) + body)


@given(LATENTS, st.data())
def test_damaged_payloads_give_a_latent_or_a_codec_error(
    latent: Latent, data: st.DataObject
) -> None:
    payload = CODEC.encode(latent)
    at = data.draw(st.integers(0, len(payload)))
    _latent_or_error(payload[:at] + data.draw(st.binary(max_size=8)) + payload[at + 4 :])


@given(LATENTS)
def test_round_trip(latent: Latent) -> None:
    back = CODEC.decode(CODEC.encode(latent))
    np.testing.assert_array_equal(back.symbols, latent.symbols)
    assert back.rate == latent.rate


def _latent_or_error(data: bytes) -> None:
    try:
        latent = CODEC.decode(data)
    except CodecError as error:
        message = str(error)
    else:
        message = "a latent"
        assert (latent.symbols.dtype, latent.symbols.shape) == (np.uint8, LATENT_SHAPE)
        assert 0 <= latent.rate < RATES
    assert message
    assert "\n" not in message
