"""Weights without networks, for tests of what is served: they answer at once, and say who they
are."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.tail import RateTable, ServedTail
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LabelSet

CONFIG = CloudConfig(batch_max=4)
CODEC = PayloadCodec(None, 1)
LATENT = Latent(np.full((8, 28, 28), 128, np.uint8), 0)


class _SignedTail:
    """A network whose answers carry its version."""

    def __init__(self, version: int) -> None:
        self._version = version

    def run_all(self, symbols: NDArray[np.uint8], *_: Any) -> dict[LabelSet, NDArray[np.float32]]:
        return {LabelSet.FER2013: np.full((len(symbols), 7), self._version, np.float32)}


def played(fingerprint: str, version: int = 0, folder: Path = Path("start")) -> ServedWeights:
    """Weights whose tail answers ``version`` for every probability."""
    weights: Any = SimpleNamespace(
        manifest=SimpleNamespace(
            fingerprint=fingerprint, version=version, default_label_set=LabelSet.FER2013
        ),
        folder=folder,
    )
    network: Any = _SignedTail(version)
    rates = RateTable(
        ("r",), np.ones((1, 8), np.float32), {LabelSet.FER2013: np.ones(1, np.float32)}
    )
    tail, backbone = (
        ServedTail(f"{fingerprint}/{name}", network, CODEC, rates, CONFIG)
        for name in ("cloud", "local")
    )
    head: Any = None
    return ServedWeights(weights, CODEC, head, {"cloud": tail}, backbone)


async def answer(served: ServedWeights) -> tuple[str, int]:
    """Who answers a face: the model's name and its version."""
    result = await served.tail("").submit(LATENT, Deadline.after_ms(60_000))
    given = result.answers[LabelSet.FER2013]
    return given.model, int(given.probabilities[0])


class PlayedFolders:
    """An opener of folders that are not there: by name, what is in each; None is a broken one.

    With ``held`` each opening waits until it is let go.
    """

    def __init__(self, held: bool = False) -> None:
        self.contents: dict[str, tuple[str, int] | None] = {}
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self._held = held

    def __call__(self, folder: Path, go_on: Any) -> ServedWeights:
        self.begun.release()
        if self._held:
            assert self.go.acquire(timeout=60)
        go_on()
        content = self.contents[folder.name]
        if content is None:
            raise WeightsError(f"{folder} is broken")
        return played(*content, folder=folder)
