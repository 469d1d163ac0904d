"""A short seeded run of what tests/fuzz/run.sh does at length."""

from __future__ import annotations

import random

import numpy as np

from splitfer.shared.codec.entropy import EntropyTables, decode_symbols, encode_symbols
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import MalformedPayload
from tests.fuzz.write_corpus import golden_bodies, golden_tables

INPUTS = 3000


def mutated(rng: random.Random, body: bytes) -> bytes:
    """A body with a few of its bytes changed, left out, repeated or added."""
    data = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randrange(1, 8)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 8))
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at:end][:64]
            case _:
                data[at : at + 8] = bytes((rng.choice((0, 255)),)) * 8
    return bytes(data)


def test_mutated_bodies_are_refused_or_the_only_ones_of_their_symbols() -> None:
    rng = random.Random(0)
    tables, corpus = EntropyTables.from_bytes(golden_tables()), golden_bodies()
    accepted = 0
    for _ in range(INPUTS):
        rate, body = rng.choice(corpus)
        data = mutated(rng, body)
        try:
            symbols = decode_symbols(data, rate, tables)
        except MalformedPayload:
            continue
        accepted += 1
        assert (symbols.dtype, symbols.shape) == (np.uint8, LATENT_SHAPE)
        assert encode_symbols(symbols, rate, tables) == data
    assert 0 < accepted < INPUTS
