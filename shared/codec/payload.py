"""The payload: one latent on the wire.

    offset  bytes  field
    0       1      codec id (low 4 bits), index of the rate (high 4 bits)
    1       4      CRC-32 of byte 0 and body, big endian
    5       rest   body, as the codec writes it

Any bytes give a latent or a ``CodecError``; nothing is allocated on a peer's word.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from splitfer.shared.codec import raw
from splitfer.shared.codec.entropy import EntropyTables, decode_symbols, encode_symbols
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge

RAW, ENTROPY = "raw", "entropy"
# A codec's number on the wire is never used again.
CODEC_IDS = {RAW: 1, ENTROPY: 2}
MOST_RATES = 16

_HEADER = struct.Struct(">BI")
HEADER_BYTES = _HEADER.size

# No payload is larger than this: the raw codec is the worst that is sent.
MAX_PAYLOAD_BYTES = HEADER_BYTES + raw.SIZE_BYTES


@dataclass(frozen=True, eq=False)
class Payload:
    """A payload that came whole; its ``body``, written by ``codec``, is yet to be read."""

    rate: int
    codec: str
    body: bytes


class PayloadCodec:
    """Writes and reads the payloads of one set of weights.

    ``tables`` are those of its entropy code (None where it has none), ``rates`` how many rates it
    has. ``names`` are the codecs that it reads; the first is the one it writes.
    """

    def __init__(self, tables: EntropyTables | None, rates: int) -> None:
        self._tables, self._rates = tables, rates
        self.names = (RAW,) if tables is None else (ENTROPY, RAW)
        self._read_here = {CODEC_IDS[name]: name for name in self.names}

    def encode(self, latent: Latent, codec: str | None = None) -> bytes:
        """The bytes of a latent's payload, by ``codec`` or by the one that suits it.

        Raises:
            ValueError: not a latent of these weights, or no such codec here.
        """
        symbols = latent.symbols
        if symbols.shape != LATENT_SHAPE or symbols.dtype != np.uint8:
            raise ValueError(
                f"a latent is uint8 {LATENT_SHAPE}, not {symbols.dtype} {symbols.shape}"
            )
        if not 0 <= latent.rate < self._rates:
            raise ValueError(f"rate {latent.rate} of {self._rates}")
        name = codec or self.names[0]
        if name not in self.names:
            raise ValueError(f"no codec {name!r} here; there are {', '.join(self.names)}")
        body = self._write(name, latent)
        if codec is None and len(body) > raw.SIZE_BYTES:  # nothing like what the tables expect
            name, body = RAW, raw.encode(symbols)
        first = latent.rate << 4 | CODEC_IDS[name]
        return _HEADER.pack(first, _checksum(first, body)) + body

    def decode(self, payload: bytes) -> Latent:
        """The latent of a payload: ``open``, then ``read``."""
        return self.read(self.open(payload))

    def open(self, payload: bytes) -> Payload:
        """The payload whose bytes these are; it is cheap.

        Raises:
            PayloadTooLarge: longer than any payload can be.
            MalformedPayload: too short, unknown codec or rate, wrong checksum.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"a payload is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
        if len(payload) < HEADER_BYTES:
            raise MalformedPayload(f"a payload is {len(payload)} bytes; at least {HEADER_BYTES}")
        first, checksum = _HEADER.unpack_from(payload)
        codec_id, rate = first & 0xF, first >> 4
        name = self._read_here.get(codec_id)
        if name is None:
            known = ", ".join(f"{number} ({name})" for number, name in self._read_here.items())
            raise MalformedPayload(f"unknown codec {codec_id}; known: {known}")
        if rate >= self._rates:
            raise MalformedPayload(f"unknown rate {rate}; these weights have {self._rates}")
        body = payload[HEADER_BYTES:]
        if checksum != _checksum(first, body):
            raise MalformedPayload("wrong checksum: the payload was damaged on its way")
        return Payload(rate, name, body)

    def read(self, payload: Payload) -> Latent:
        """The latent of a payload, which is the work; the interpreter goes on meanwhile.

        Raises:
            MalformedPayload: wrong body.
        """
        if payload.codec == RAW or self._tables is None:
            symbols = raw.decode(payload.body)
        else:
            symbols = decode_symbols(payload.body, payload.rate, self._tables)
        return Latent(symbols, payload.rate)

    def _write(self, name: str, latent: Latent) -> bytes:
        if name == RAW or self._tables is None:
            return raw.encode(latent.symbols)
        return encode_symbols(latent.symbols, latent.rate, self._tables)


def _checksum(first: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(bytes((first,))))
