from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from shared.codec.payload import MAX_PAYLOAD_BYTES, decode_payload, encode_payload
from shared.contracts import LATENT_SHAPE
from shared.errors import CodecError

LATENTS = arrays(np.uint8, LATENT_SHAPE)


@given(st.binary(max_size=200) | st.binary(min_size=6200, max_size=MAX_PAYLOAD_BYTES + 10))
def test_any_bytes_give_a_latent_or_a_codec_error(data: bytes) -> None:
    _latent_or_error(data)


@given(LATENTS, st.data())
def test_damaged_payloads_give_a_latent_or_a_codec_error(
    latent: NDArray[np.uint8], data: st.DataObject
) -> None:
    payload = encode_payload(latent)
    at = data.draw(st.integers(0, len(payload)))
    _latent_or_error(payload[:at] + data.draw(st.binary(max_size=8)) + payload[at + 4 :])


@given(LATENTS)
def test_round_trip(latent: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_payload(encode_payload(latent)), latent)


def _latent_or_error(data: bytes) -> None:
    try:
        latent = decode_payload(data)
    except CodecError as error:
        message = str(error)
    else:
        message = "a latent"
        assert (latent.dtype, latent.shape) == (np.uint8, LATENT_SHAPE)
    assert message
    assert "\n" not in message
