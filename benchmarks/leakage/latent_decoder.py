"""A small network that makes the picture of a face from its latent, as somebody who kept latents
could train one.

    symbols --(-128) x step--> y_hat 8x28x28 --> residual blocks --> 56x56 --> 48x48 grey

One network for every rate: each batch of its training is at a rate drawn at random.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.codec.quantiser import ZERO_SYMBOL, Quantiser
from splitfer.shared.contracts import LATENT_SHAPE
from training.data.datasets import SIDE, DataError

CHANNELS, BLOCKS = 32, 3
BATCH = 32
LEARNING_RATE = 2e-3
SEED = 0


class Decoder(nn.Module):
    """Latents as the cloud tail sees them, ``(N, 8, 28, 28)``, to pictures ``(N, 48, 48)``, where
    0 is black and 1 white (they may go beyond)."""

    def __init__(self) -> None:
        super().__init__()
        channels = LATENT_SHAPE[0]
        self.first = nn.Sequential(
            nn.BatchNorm2d(channels, affine=False), nn.Conv2d(channels, CHANNELS, 3, padding=1)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            )
            for _ in range(BLOCKS)
        )
        self.last = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(CHANNELS // 2, 1, 3, padding=1),
        )

    def forward(self, y_hat: Tensor) -> Tensor:
        """See the class."""
        x = self.first(y_hat)
        for block in self.blocks:
            x = x + block(x)
        small = F.interpolate(self.last(x), size=SIDE, mode="bilinear", antialias=True)
        return small[:, 0]


@dataclass(frozen=True)
class Training:
    """What a decoder is trained on; a file of another kind is not gone on with."""

    fingerprint: str
    faces: int
    epochs: int


def decoded(
    decoder: Decoder, symbols: NDArray[np.uint8], steps: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Symbols uint8 ``(N, 8, 28, 28)`` of a rate with ``steps`` ``(8,)`` -> pictures uint8
    ``(N, 48, 48)``."""
    decoder.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(symbols), BATCH):
            made = decoder(_y_hat(symbols[start : start + BATCH], steps))
            parts.append((255 * made).round().clamp(0, 255).byte().numpy())
    return np.concatenate(parts)


def trained(
    z: NDArray[np.float16],
    pictures: NDArray[np.uint8],
    quantiser: Quantiser,
    training: Training,
    file: Path,
    threads: int,
) -> Decoder:
    """A decoder trained on latents before the quantiser ``(N, 8, 28, 28)`` of pictures uint8
    ``(N, 48, 48)``.

    ``file`` is written after every epoch; where it is there already, training goes on from it.

    Raises:
        DataError: ``file`` is of another training, or cannot be read or written.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(threads)
    decoder = Decoder()
    optimiser = torch.optim.Adam(decoder.parameters(), LEARNING_RATE)
    done = _load(file, training, decoder, optimiser)
    batches = math.ceil(len(z) / BATCH)
    progress = tqdm(
        total=training.epochs * batches,
        initial=done * batches,
        desc="decoder",
        unit="batch",
        disable=None,
    )
    with progress:
        for epoch in range(done, training.epochs):
            rng = np.random.default_rng((SEED, epoch))
            order = rng.permutation(len(z))
            decoder.train()
            for place in range(batches):
                part = (epoch * batches + place) / (training.epochs * batches)
                optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * part)) / 2
                chosen = order[place * BATCH : (place + 1) * BATCH]
                rate = int(rng.integers(len(quantiser.gains)))
                symbols = quantiser.symbols(z[chosen].astype(np.float32), rate)
                wanted = torch.from_numpy(pictures[chosen]).float() / 255
                loss = F.l1_loss(decoder(_y_hat(symbols, quantiser.steps(rate))), wanted)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                progress.update()
            progress.set_postfix(l1=f"{loss.item():.4f}")
            _save(file, training, decoder, optimiser, epoch + 1)
    return decoder


def _y_hat(symbols: NDArray[np.uint8], steps: NDArray[np.float32]) -> Tensor:
    whole = torch.from_numpy(symbols).float() - ZERO_SYMBOL
    return whole * torch.from_numpy(steps)[:, None, None]


def _load(
    file: Path, training: Training, decoder: Decoder, optimiser: torch.optim.Optimizer
) -> int:
    """How many epochs ``file`` has had; 0 where there is none."""
    if not file.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu")
        theirs, done = state["training"], int(state["epochs_done"])
        if theirs == asdict(training):
            decoder.load_state_dict(state["decoder"])
            optimiser.load_state_dict(state["optimiser"])
            return done
    except Exception as error:  # torch's and pickle's errors share no base but Exception
        raise DataError(f"{file} is not a decoder of this code: {error}") from error
    raise DataError(
        f"{file} is a decoder of another training ({theirs}): remove it or name another --decoder"
    )


def _save(
    file: Path,
    training: Training,
    decoder: Decoder,
    optimiser: torch.optim.Optimizer,
    epochs_done: int,
) -> None:
    partial = file.with_name(f"{file.name}.partial")
    state = {
        "training": asdict(training),
        "epochs_done": epochs_done,
        "decoder": decoder.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        os.replace(partial, file)
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}") from error
