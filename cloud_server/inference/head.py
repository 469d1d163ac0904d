"""Crops to latents: the head and the quantiser, batched across requests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.cloud_server.inference.pending_faces import gather_faces, submitted
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.quantiser import Quantiser
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import SplitFerError
from splitfer.shared.weights.runtime import Head


@dataclass(frozen=True, eq=False)
class CropAtRate:
    """One face's crop, grey uint8 ``(224, 224)``, its head and quantiser, and a rate."""

    pixels: NDArray[np.uint8]
    head: Head
    quantiser: Quantiser
    rate: int


class ServedHead:
    """The heads of all weights behind one batcher and one thread. Belongs to one event loop."""

    def __init__(self, config: CloudConfig) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="head")
        self._batcher: Batcher[CropAtRate, Latent] = Batcher(
            self._run_in_thread, batch_max=config.batch_max, queue_max=config.queue_max
        )

    def start(self) -> None:
        """Begin to answer."""
        self._batcher.start()

    async def latents(
        self,
        crops: NDArray[np.uint8],
        head: Head,
        quantiser: Quantiser,
        rate: int,
        deadline: Deadline,
    ) -> list[Latent | SplitFerError]:
        """Crops ``(N, 224, 224)`` -> a latent or an error each, in order."""
        waiting = [
            submitted(CropAtRate(crop, head, quantiser, rate), self._batcher.submit, deadline)
            for crop in crops
        ]
        return await gather_faces(waiting, deadline)

    async def close(self) -> None:
        """Stop; what has no latent yet raises ``NotReady``."""
        await self._batcher.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run_in_thread(self, crops: list[CropAtRate]) -> list[Latent]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _latents, crops)


def _latents(crops: list[CropAtRate]) -> list[Latent]:
    latents: dict[int, Latent] = {}
    for head in {id(crop.head): crop.head for crop in crops}.values():
        places = [place for place, crop in enumerate(crops) if crop.head is head]
        z = head.run(np.stack([crops[place].pixels for place in places]))[1]
        for place, one in zip(places, z, strict=True):
            crop = crops[place]
            symbols = crop.quantiser.symbols(one[None], crop.rate)[0]
            latents[place] = Latent(symbols, crop.rate)
    return [latents[place] for place in range(len(crops))]
