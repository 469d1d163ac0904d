"""The payload: one latent on the wire.

    offset  bytes  field
    0       1      codec id
    1       4      CRC-32 of codec id and body, big endian
    5       rest   body, as the codec writes it

Any bytes give a latent or a ``CodecError``; nothing is allocated on a peer's word.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.codec import raw
from shared.contracts import LATENT_SHAPE
from shared.errors import MalformedPayload, PayloadTooLarge

_HEADER = struct.Struct(">BI")
HEADER_BYTES = _HEADER.size

# No codec may make a latent larger than this: the raw one is the worst that is sent.
MAX_PAYLOAD_BYTES = HEADER_BYTES + raw.SIZE_BYTES


@dataclass(frozen=True)
class Codec:
    """A way to write a latent; ``id`` is its byte on the wire and is never used again."""

    id: int
    name: str
    encode: Callable[[NDArray[np.uint8]], bytes]
    decode: Callable[[bytes], NDArray[np.uint8]]


RAW = Codec(1, raw.NAME, raw.encode, raw.decode)
CODECS = {codec.id: codec for codec in (RAW,)}


def encode_payload(latent: NDArray[np.uint8], codec: Codec = RAW) -> bytes:
    """uint8 ``(8, 28, 28)`` -> the bytes of its payload.

    Raises:
        ValueError: the array is not a latent.
    """
    if latent.shape != LATENT_SHAPE or latent.dtype != np.uint8:
        raise ValueError(f"a latent is uint8 {LATENT_SHAPE}, not {latent.dtype} {latent.shape}")
    body = codec.encode(latent)
    return _HEADER.pack(codec.id, _checksum(codec.id, body)) + body


def decode_payload(payload: bytes) -> NDArray[np.uint8]:
    """The bytes of a payload -> uint8 ``(8, 28, 28)``.

    Raises:
        PayloadTooLarge: longer than any payload can be.
        MalformedPayload: too short, unknown codec, wrong checksum or wrong size.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"a payload is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
    if len(payload) < HEADER_BYTES:
        raise MalformedPayload(f"a payload is {len(payload)} bytes; at least {HEADER_BYTES}")
    codec_id, checksum = _HEADER.unpack_from(payload)
    if codec_id not in CODECS:
        known = ", ".join(f"{codec.id} ({codec.name})" for codec in CODECS.values())
        raise MalformedPayload(f"unknown codec {codec_id}; known: {known}")
    body = payload[HEADER_BYTES:]
    if checksum != _checksum(codec_id, body):
        raise MalformedPayload("wrong checksum: the payload was damaged on its way")
    return CODECS[codec_id].decode(body)


def _checksum(codec_id: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(bytes((codec_id,))))
