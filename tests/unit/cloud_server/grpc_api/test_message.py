"""What the server waits for before it reads a message of somebody whom it does not know."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from splitfer.cloud_server.admission.slowed import SlowedCallers
from splitfer.cloud_server.grpc_api.message import Reader
from splitfer.shared.errors import Overloaded

LARGE, SMALL = b"x" * 8_000_000, b""


def context(message: bytes, address: str = "192.0.2.1", port: int = 5000) -> Any:
    async def read() -> bytes:
        return message

    return SimpleNamespace(read=read, peer=lambda: f"ipv4:{address}:{port}")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, s: the clock alone has gone on."""
    told = list[float]()

    async def sleep(seconds: float) -> None:
        told.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    clock = (lambda: time.monotonic() + sum(told),)
    monkeypatch.setattr(SlowedCallers.__init__, "__defaults__", clock)
    return told


async def test_an_address_that_sends_large_names_waits_on_every_connection(
    slept: list[float],
) -> None:
    reader = Reader(1)
    assert await reader.read(context(LARGE), known=False) == LARGE
    assert slept == []
    assert await reader.read(context(SMALL, port=5001), known=False) == SMALL
    assert [0.1 < seconds < 2 for seconds in slept] == [True]
    slept.clear()
    assert await reader.read(context(SMALL, "192.0.2.2"), known=False) == SMALL
    assert slept == []


async def test_who_would_wait_too_long_is_told_so(slept: list[float]) -> None:
    reader = Reader(1)
    reader._slowed.refused("192.0.2.1", 20 * len(LARGE))  # as of many connections at once
    with pytest.raises(Overloaded, match="it has to wait"):
        await reader.read(context(LARGE), known=False)
    assert [round(seconds, 3) for seconds in slept] == [2.0]  # it would come again at once


async def test_probes_and_known_callers_are_never_slowed_here(slept: list[float]) -> None:
    reader = Reader(1)
    for _ in range(100):
        await reader.read(context(SMALL), known=False)
        await reader.read(context(LARGE), known=True)
    assert slept == []
