"""The body of ``POST /v1/latents``: any bytes are payloads or refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.rest_api.latents import split_payloads
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge


def framed(payloads: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(one)) + one for one in payloads)


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_what_was_framed_is_split(payloads: list[bytes]) -> None:
    assert split_payloads(framed(payloads), 40) == payloads


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.data())
def test_what_is_cut_short_is_refused(payloads: list[bytes], data: st.DataObject) -> None:
    body = framed(payloads)
    last = len(framed(payloads[-1:]))
    cut = data.draw(st.integers(1, last - 1))
    with pytest.raises(MalformedPayload, match=f"payload {len(payloads) - 1}"):
        split_payloads(body[:-cut], 5)


@given(st.binary(max_size=200))
def test_any_bytes_are_payloads_or_refused(body: bytes) -> None:
    try:
        payloads = split_payloads(body, 100)
    except MalformedPayload:
        return
    assert framed(payloads) == body


@given(st.integers(0, 40), st.integers(0, 39))
def test_more_than_may_be_are_refused_without_being_split(count: int, most: int) -> None:
    body = framed([b""] * count)
    if count > most:
        with pytest.raises(PayloadTooLarge, match=f"more than {most} faces"):
            split_payloads(body + b"\0", most)  # what stands behind them is not looked at
    else:
        assert split_payloads(body, most) == [b""] * count
