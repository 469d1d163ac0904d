"""Latents of many views of the same faces, made once by the head of some weights and kept in files:
tails are trained and compared on them without running the head again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from splitfer.shared.codec.quantiser import ZERO_SYMBOL
from splitfer.shared.contracts import CROP_SIDE
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import Head
from training.data.augment import random_views
from training.data.datasets import Faces
from training.models.bottleneck import DEFAULT_RATE

_BATCH = 64


@dataclass(frozen=True)
class Latents:
    """``values`` int8 ``(V, N, 8, 28, 28)``: of V views of N faces, the symbols at the default rate
    less the zero symbol. ``steps`` float32 ``(8,)``: what one of them is worth, by channel."""

    values: NDArray[np.int8]
    steps: NDArray[np.float32]


def plain_latents(weights: Weights, faces: Faces, threads: int) -> Latents:
    """One view of each face, as it is sent: ``values`` ``(1, N, 8, 28, 28)``."""
    head = weights.head(threads)
    parts = [
        _values(head, weights, np.stack([enlarge_crop(one) for one in faces.pictures[at]]))
        for at in _batches(len(faces))
    ]
    return Latents(np.concatenate(parts)[None], weights.quantiser.steps(DEFAULT_RATE))


def random_latents(
    weights: Weights, faces: Faces, views: int, strength: float, cache: Path, threads: int
) -> Latents:
    """``views`` random views of each face, of this ``strength``.

    They are read from the folder ``cache`` where they are there already. The file's name says of
    what weights, faces and views they are. One pass that was interrupted is made again; finished
    views are kept.
    """
    name = f"latents-{weights.manifest.fingerprint}-{len(faces)}-{_digest(faces)}-{strength}"
    cache.mkdir(parents=True, exist_ok=True)
    head = None
    for view in range(views):
        file = cache / f"{name}-{view}.npy"
        if file.exists():
            continue
        head = head or weights.head(threads)
        generator = torch.Generator().manual_seed(view)
        parts = []
        for at in tqdm(_batches(len(faces)), desc=f"view {view + 1}/{views}", disable=None):
            pictures = torch.from_numpy(faces.pictures[at])
            crops = random_views(pictures, CROP_SIDE, generator, strength)
            parts.append(_values(head, weights, crops[:, 0].round().byte().numpy()))
        half = file.with_suffix(".part")
        with half.open("wb") as target:
            np.save(target, np.concatenate(parts))
        os.replace(half, file)
    every = [np.load(cache / f"{name}-{view}.npy") for view in range(views)]
    return Latents(np.stack(every), weights.quantiser.steps(DEFAULT_RATE))


def _digest(faces: Faces) -> str:
    return hashlib.sha256(faces.ids.tobytes()).hexdigest()[:8]


def _batches(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]


def _values(head: Head, weights: Weights, crops: NDArray[np.uint8]) -> NDArray[np.int8]:
    symbols = weights.quantiser.symbols(head.run(crops)[1], DEFAULT_RATE)
    return (symbols.astype(np.int16) - ZERO_SYMBOL).astype(np.int8)
