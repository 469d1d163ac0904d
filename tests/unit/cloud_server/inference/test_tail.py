"""How a tail shares a core; what it answers is in the service's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference import tail
from splitfer.cloud_server.inference.tail import RateTable, ServedTail
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import Overloaded
from splitfer.shared.labels import LabelSet

pytestmark = pytest.mark.asyncio
FACE = Latent(np.full(LATENT_SHAPE, 128, np.uint8), 0)
RATES = RateTable(("f/r",), np.ones((1, 8), np.float32), {LabelSet.FER2013: np.ones(1, np.float32)})


class QuickTail:
    """Notes which thread it runs in."""

    def __init__(self) -> None:
        self.ran_in: list[str] = []
        self.sizes: list[int] = []

    def run_all(self, symbols: np.ndarray, *_: Any) -> dict[LabelSet, np.ndarray]:
        self.sizes.append(len(symbols))
        self.ran_in.append(threading.current_thread().name.rpartition("_")[0])
        return {LabelSet.FER2013: np.full((len(symbols), 7), 1 / 7, np.float32)}


async def test_runs_give_way_while_many_messages_are_refused_and_no_longer_after() -> None:
    network: Any = QuickTail()
    served = ServedTail("f/cloud", network, PayloadCodec(None, 1), RATES, CloudConfig(queue_max=1))
    served.start()

    async def ran_in(refusals: int, refuse: Callable[[], object]) -> str:
        waiting = served.submit(FACE, Deadline.after_ms(60_000))
        for _ in range(refusals):
            with pytest.raises(Overloaded):
                refuse()
        await waiting
        name: str = network.ran_in[-1]
        return name

    def message() -> None:
        served.check_capacity(Deadline.after_ms(60_000))

    def call() -> None:
        served.submit(FACE, Deadline.after_ms(60_000))

    try:
        assert await ran_in(0, message) == "tail"
        assert await ran_in(4, message) == "tail"
        assert await ran_in(5, message) == "tail giving way"
        assert await ran_in(1, message) == "tail"
        # gRPC cuts calls off before they are read; to let them go first would be to read more.
        assert await ran_in(50, call) == "tail"
    finally:
        await served.close()


async def test_what_runs_take_is_learnt_from_few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is time in which a server that starts is not ready."""
    monkeypatch.setattr(tail, "_LONGEST_TRY_S", 60)  # a machine may be busy
    network: Any = QuickTail()
    served = ServedTail("f/cloud", network, PayloadCodec(None, 1), RATES, CloudConfig())
    served.warm_up()
    assert network.sizes == [1, 1, 4, 16]
    assert served._times.of(16) > 0
