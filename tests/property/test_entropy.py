from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitfer.shared.codec.entropy import EntropyTables, decode_symbols, encode_symbols
from splitfer.shared.errors import MalformedPayload
from tests.property import entropy_reference as reference


class Case:
    """Not a data class: Hypothesis writes those out whole, and warns of it instead of a failure."""

    def __init__(self, tables: EntropyTables, rate: int, symbols: NDArray[np.uint8]) -> None:
        self.tables, self.rate, self.symbols = tables, rate, symbols

    def __repr__(self) -> str:
        digest = hashlib.sha256(self.symbols.tobytes() + self.tables.to_bytes()).hexdigest()
        return f"Case(rate={self.rate}, limit={self.tables.limit}, sha256={digest[:12]})"


@st.composite
def cases(draw: st.DrawFn, most_weights: int = 75) -> Case:
    """Tables, a rate and symbols that are anything from empty to noise."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    limit = draw(st.sampled_from([1, 2, 15, 127]))
    rates = draw(st.integers(1, 2))
    data = reference.random_tables(rng, limit, rates, draw(st.integers(0, most_weights)))
    scale = draw(st.sampled_from([0.0, 0.2, 0.5, 1.0, 4.0, 100.0]))
    values = np.rint(rng.laplace(0, scale, reference.SHAPE)).clip(-limit, limit)
    values[draw(st.sets(st.integers(0, 7)).map(sorted))] = 0
    tables = EntropyTables.from_bytes(data)
    return Case(tables, draw(st.integers(0, rates - 1)), (values + 128).astype(np.uint8))


@given(cases())
def test_round_trip(case: Case) -> None:
    tables, rate, symbols = case.tables, case.rate, case.symbols
    body = encode_symbols(symbols, rate, tables)
    if len(body) > symbols.size:
        return  # such symbols are sent raw
    np.testing.assert_array_equal(decode_symbols(body, rate, tables), symbols)


@settings(max_examples=12, deadline=None)
@given(cases(most_weights=6))
def test_the_bytes_are_those_of_the_slow_reference(case: Case) -> None:
    tables, rate, symbols = case.tables, case.rate, case.symbols
    assert encode_symbols(symbols, rate, tables) == reference.encode(
        tables.to_bytes(), rate, symbols
    )


@settings(max_examples=12, deadline=None)
@given(cases(most_weights=3), st.binary(max_size=12) | st.binary(min_size=300, max_size=900))
def test_bodies_are_read_and_refused_as_by_the_slow_reference(case: Case, body: bytes) -> None:
    tables, rate, symbols = case.tables, case.rate, case.symbols
    for known in (body, encode_symbols(symbols, rate, tables)):
        expected = reference.decode(tables.to_bytes(), rate, known)
        try:
            found = decode_symbols(known, rate, tables)
        except MalformedPayload:
            assert expected is None
        else:
            assert expected is not None
            np.testing.assert_array_equal(found, expected)


@given(cases(), st.binary(max_size=40) | st.binary(min_size=6200, max_size=6300))
def test_any_body_is_refused_or_is_the_only_one_of_its_symbols(case: Case, body: bytes) -> None:
    _refused_or_canonical(body, case.rate, case.tables)


@given(cases(), st.integers(0, 2**32), st.binary(max_size=3))
def test_damaged_bodies_are_refused_or_the_only_ones_of_their_symbols(
    case: Case, place: int, replacement: bytes
) -> None:
    tables, rate, symbols = case.tables, case.rate, case.symbols
    body = encode_symbols(symbols, rate, tables)
    at = place % (len(body) + 1)
    _refused_or_canonical(body[:at] + replacement + body[at + 2 :], rate, tables)


def _refused_or_canonical(body: bytes, rate: int, tables: EntropyTables) -> None:
    try:
        symbols = decode_symbols(body, rate, tables)
    except MalformedPayload:
        pass
    else:
        assert (symbols.dtype, symbols.shape) == (np.uint8, reference.SHAPE)
        assert encode_symbols(symbols, rate, tables) == body
