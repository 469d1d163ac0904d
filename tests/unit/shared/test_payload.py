from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.codec.payload import (
    CODECS,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    decode_payload,
    encode_payload,
)
from shared.contracts import LATENT_SHAPE, Limits
from shared.errors import MalformedPayload, PayloadTooLarge


def latent(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, LATENT_SHAPE, dtype=np.uint8)


def test_round_trip_and_size() -> None:
    payload = encode_payload(latent())
    assert len(payload) == 6272 + HEADER_BYTES == MAX_PAYLOAD_BYTES
    np.testing.assert_array_equal(decode_payload(payload), latent())


def test_every_flipped_bit_is_refused() -> None:
    payload = bytearray(encode_payload(latent()))
    for bit in range(len(payload) * 8):
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedPayload):
            decode_payload(bytes(payload))
        payload[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1])
def test_too_short_for_a_header(size: int) -> None:
    with pytest.raises(MalformedPayload, match=f"{size} bytes; at least {HEADER_BYTES}"):
        decode_payload(bytes(size))


def test_too_long_is_refused_before_its_checksum_is_read() -> None:
    with pytest.raises(PayloadTooLarge, match=f"at most {MAX_PAYLOAD_BYTES}"):
        decode_payload(encode_payload(latent()) + b"\0")


def test_cut_short() -> None:
    with pytest.raises(MalformedPayload, match="checksum"):
        decode_payload(encode_payload(latent())[:-1])


def test_unknown_codec_names_the_known_ones() -> None:
    payload = encode_payload(latent())
    with pytest.raises(MalformedPayload, match=r"unknown codec 250; known: 1 \(raw\)"):
        decode_payload(b"\xfa" + payload[1:])


def test_wrong_size_behind_a_right_checksum() -> None:
    import struct
    import zlib

    body = bytes(100)
    payload = struct.pack(">BI", 1, zlib.crc32(body, zlib.crc32(b"\x01"))) + body
    with pytest.raises(MalformedPayload, match="6272 bytes, not 100"):
        decode_payload(payload)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 28, 27), np.uint8),
        np.zeros((1, *LATENT_SHAPE), np.uint8),
        np.zeros(LATENT_SHAPE, np.float32),
    ],
)
def test_only_a_latent_is_encoded(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="a latent is uint8"):
        encode_payload(wrong)  # type: ignore[arg-type]


def test_a_latent_that_is_not_contiguous() -> None:
    turned = latent().transpose(0, 2, 1)
    np.testing.assert_array_equal(decode_payload(encode_payload(turned)), turned)


def test_codec_ids_fit_their_byte() -> None:
    assert all(codec.id == number and 0 < number < 256 for number, codec in CODECS.items())


def test_a_message_holds_a_frame_of_raw_payloads() -> None:
    limits = Limits()
    assert limits.infer_message_bytes > limits.faces_per_frame * MAX_PAYLOAD_BYTES
