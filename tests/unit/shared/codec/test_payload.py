from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import CODEC_IDS, HEADER_BYTES, MAX_PAYLOAD_BYTES, PayloadCodec
from splitfer.shared.contracts import LATENT_SHAPE, Limits
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge

CODEC = PayloadCodec(None, 3)


def latent(rate: int = 0) -> Latent:
    rng = np.random.default_rng(rate)
    return Latent(rng.integers(0, 256, LATENT_SHAPE, dtype=np.uint8), rate)


@pytest.mark.parametrize("rate", range(3))
def test_round_trip_and_size(rate: int) -> None:
    payload = CODEC.encode(latent(rate))
    assert len(payload) == 6272 + HEADER_BYTES == MAX_PAYLOAD_BYTES
    back = CODEC.decode(payload)
    assert back.rate == rate
    np.testing.assert_array_equal(back.symbols, latent(rate).symbols)


def test_the_entropy_code_is_the_default_where_there_are_tables(
    entropy_tables: EntropyTables,
) -> None:
    codec = PayloadCodec(entropy_tables, 3)
    zeros = Latent(np.full(LATENT_SHAPE, 128, np.uint8), 2)
    payload = codec.encode(zeros)
    assert len(payload) < MAX_PAYLOAD_BYTES / 10
    assert codec.encode(zeros, "entropy") == payload
    for sent in (payload, codec.encode(zeros, "raw")):
        back = codec.decode(sent)
        assert back.rate == 2
        np.testing.assert_array_equal(back.symbols, zeros.symbols)


def test_no_payload_is_larger_than_a_raw_one(entropy_tables: EntropyTables) -> None:
    rng = np.random.default_rng(0)
    unlike = Latent(rng.integers(113, 144, LATENT_SHAPE, dtype=np.uint8), 2)
    codec = PayloadCodec(entropy_tables, 3)
    payload = codec.encode(unlike)
    assert len(payload) == MAX_PAYLOAD_BYTES
    np.testing.assert_array_equal(codec.decode(payload).symbols, unlike.symbols)


def test_payloads_from_before_there_were_rates_are_those_of_rate_0() -> None:
    body = latent().symbols.tobytes()
    old = struct.pack(">BI", 1, zlib.crc32(b"\x01" + body)) + body
    assert CODEC.encode(latent()) == old
    assert CODEC.decode(old).rate == 0


def test_every_flipped_bit_is_refused() -> None:
    payload = bytearray(CODEC.encode(latent()))
    for bit in range(len(payload) * 8):
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedPayload):
            CODEC.decode(bytes(payload))
        payload[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1])
def test_too_short_for_a_header(size: int) -> None:
    with pytest.raises(MalformedPayload, match=f"{size} bytes; at least {HEADER_BYTES}"):
        CODEC.decode(bytes(size))


def test_too_long_is_refused_before_its_checksum_is_read() -> None:
    with pytest.raises(PayloadTooLarge, match=f"at most {MAX_PAYLOAD_BYTES}"):
        CODEC.decode(CODEC.encode(latent()) + b"\0")


def test_cut_short() -> None:
    with pytest.raises(MalformedPayload, match="checksum"):
        CODEC.decode(CODEC.encode(latent())[:-1])


def test_unknown_codec_names_the_known_ones() -> None:
    payload = CODEC.encode(latent())
    with pytest.raises(MalformedPayload, match=r"unknown codec 10; known: 1 \(raw\)"):
        CODEC.decode(b"\x0a" + payload[1:])
    with pytest.raises(MalformedPayload, match="unknown codec 2"):
        CODEC.decode(b"\x02" + payload[1:])  # the entropy code needs tables


def test_a_rate_that_these_weights_do_not_have() -> None:
    payload = PayloadCodec(None, 4).encode(latent(3))
    with pytest.raises(MalformedPayload, match="unknown rate 3; these weights have 3"):
        CODEC.decode(payload)
    with pytest.raises(ValueError, match="rate 3 of 3"):
        CODEC.encode(latent(3))


def test_wrong_size_behind_a_right_checksum() -> None:
    body = bytes(100)
    payload = struct.pack(">BI", 1, zlib.crc32(b"\x01" + body)) + body
    with pytest.raises(MalformedPayload, match="6272 bytes, not 100"):
        CODEC.decode(payload)


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
        CODEC.encode(Latent(wrong, 0))  # type: ignore[arg-type]


def test_only_by_a_codec_there_is() -> None:
    assert CODEC.encode(latent(), "raw") == CODEC.encode(latent())
    with pytest.raises(ValueError, match="no codec 'entropy' here; there are raw"):
        CODEC.encode(latent(), "entropy")


def test_a_latent_that_is_not_contiguous() -> None:
    turned = latent().symbols.transpose(0, 2, 1)
    np.testing.assert_array_equal(CODEC.decode(CODEC.encode(Latent(turned, 0))).symbols, turned)


def test_codec_ids_fit_their_four_bits() -> None:
    assert all(0 < number < 16 for number in CODEC_IDS.values())


def test_a_message_holds_a_frame_of_raw_payloads() -> None:
    limits = Limits()
    assert limits.infer_message_bytes > limits.faces_per_frame * MAX_PAYLOAD_BYTES
