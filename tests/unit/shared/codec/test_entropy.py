from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.codec import raw
from splitfer.shared.codec.entropy import EntropyTables, decode_symbols, encode_symbols
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import MalformedPayload, WeightsError

# Written by tests/unit/shared/codec/write_entropy_golden.py; every machine must give the same
# bytes.
GOLDEN = np.load(Path(__file__).with_name("entropy_golden.npz"))
TABLES = EntropyTables.from_bytes(GOLDEN["tables"].tobytes())
CASES = range(len(GOLDEN["rates"]))


def golden_body(case: int) -> bytes:
    ends = GOLDEN["ends"]
    return bytes(GOLDEN["bodies"][ends[case] : ends[case + 1]])


@pytest.mark.parametrize("case", CASES)
def test_golden_bytes(case: int) -> None:
    symbols, rate = GOLDEN["symbols"][case], int(GOLDEN["rates"][case])
    assert encode_symbols(symbols, rate, TABLES) == golden_body(case)
    np.testing.assert_array_equal(decode_symbols(golden_body(case), rate, TABLES), symbols)


def test_threads_do_not_disturb_each_other() -> None:
    def decode(case: int) -> bytes:
        return decode_symbols(golden_body(case), int(GOLDEN["rates"][case]), TABLES).tobytes()

    cases = [*CASES] * 20
    with ThreadPoolExecutor(4) as pool:
        for case, found in zip(cases, pool.map(decode, cases), strict=True):
            assert found == GOLDEN["symbols"][case].tobytes()


def test_tables_are_their_bytes() -> None:
    data = GOLDEN["tables"].tobytes()
    assert TABLES.to_bytes() == data
    assert EntropyTables.from_bytes(data) == TABLES
    assert (TABLES.limit, TABLES.rates) == (15, 2)


def test_an_empty_latent_is_next_to_nothing() -> None:
    empty = np.full(LATENT_SHAPE, 128, np.uint8)
    body = encode_symbols(empty, 0, TABLES)
    assert len(body) <= 8
    np.testing.assert_array_equal(decode_symbols(body, 0, TABLES), empty)


@pytest.mark.parametrize("symbol", [0, 128 - 16, 128 + 16, 255])
def test_symbols_outside_the_limit_are_refused(symbol: int) -> None:
    symbols = np.full(LATENT_SHAPE, 128, np.uint8)
    symbols[3, 4, 5] = symbol
    with pytest.raises(ValueError, match="limit"):
        encode_symbols(symbols, 0, TABLES)


def test_only_latents_are_encoded() -> None:
    with pytest.raises(ValueError, match="int16"):
        encode_symbols(np.full(LATENT_SHAPE, 128, np.int16), 0, TABLES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="28, 8"):
        encode_symbols(np.full((28, 28, 8), 128, np.uint8), 0, TABLES)


@pytest.mark.parametrize("rate", [-1, 2])
def test_rates_that_are_not_there(rate: int) -> None:
    with pytest.raises(IndexError):
        decode_symbols(golden_body(0), rate, TABLES)
    with pytest.raises(IndexError):
        encode_symbols(GOLDEN["symbols"][0], rate, TABLES)


@pytest.mark.parametrize("more", [b"\0", b"\1", b"\0\0\0\0\0\0\0\0\0", bytes(raw.SIZE_BYTES)])
def test_bytes_left_over_are_refused(more: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode_symbols(golden_body(0) + more, 0, TABLES)


def test_a_huge_body_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="longer"):
        decode_symbols(bytes(10_000_000), 0, TABLES)


def changed(at: int, *values: int) -> bytes:
    data = GOLDEN["tables"].copy()
    data[at : at + len(values)] = values
    return bytes(data.tobytes())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "start"),
        (changed(3, 2), "version"),
        (changed(4, 0), "limit"),
        (changed(4, 128), "limit"),
        (changed(5, 0), "number of rates"),
        (changed(5, 17), "number of rates"),
        (changed(5, 1), "length"),
        (GOLDEN["tables"].tobytes()[:-1], "length"),
        (GOLDEN["tables"].tobytes() + b"\0", "length"),
        (changed(6, 0, 4), "logit"),  # 1024
        (changed(6, 0, 128), "logit"),  # -32768
        (changed(8, 255, 1, 254, 1), "rise"),  # 511, 510
        (changed(8, 0, 2), "rise"),  # 512
        (changed(4, 127), "weights"),
    ],
)
def test_damaged_tables_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(WeightsError, match=why):
        EntropyTables.from_bytes(data)
