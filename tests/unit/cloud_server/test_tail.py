"""How the thread of a tail shares a core; what it answers is in the service's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloud_server import tail as tail_module
from cloud_server.config import CloudConfig
from cloud_server.tail import RateTable, ServedTail
from shared.codec.payload import PayloadCodec
from shared.contracts import LATENT_SHAPE
from shared.deadline import Deadline
from shared.errors import Overloaded
from shared.latent import Latent

pytestmark = pytest.mark.asyncio
FACE = Latent(np.full(LATENT_SHAPE, 128, np.uint8), 0)
RATES = RateTable(("f/r",), np.ones((1, 8), np.float32), np.ones(1, np.float32))


class QuickTail:
    def run(self, symbols: np.ndarray, *_: np.ndarray) -> np.ndarray:
        return np.full((len(symbols), 7), 1 / 7, np.float32)


async def test_turns_are_short_while_many_are_refused_and_long_again_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_ms: list[float] = []
    monkeypatch.setattr(tail_module, "ask_for_slices", asked_ms.append)
    network: Any = QuickTail()
    served = ServedTail("f/cloud", network, PayloadCodec(None, 1), RATES, CloudConfig(queue_max=1))
    served.start()

    async def answered(refusals: int) -> None:
        waiting = served.submit(FACE, Deadline.after_ms(60_000))
        for _ in range(refusals):
            with pytest.raises(Overloaded):
                served.submit(FACE, Deadline.after_ms(60_000))
        await waiting

    try:
        await answered(0)
        assert asked_ms == [15.0]
        await answered(4)
        assert asked_ms == [15.0]
        await answered(5)
        assert asked_ms == [15.0, 3.0]
        await answered(1)
        assert asked_ms == [15.0, 3.0, 15.0]
    finally:
        await served.close()
