"""Pictures whose right answers are known beforehand, and differ from picture to picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_client.config import load_config
from edge_client.head import Device
from edge_client.sources import open_source
from shared.contracts import Box, Path
from shared.weights import Weights, default_folder

SEARCH_SIDE_PX = 320
# An answer is the right one where no probability is further off; two faces differ by more than
# twice as much, so that an answer cannot pass for another face's.
TOLERANCE = 3e-4
MOST_PICTURES = 16


@dataclass(frozen=True)
class Face:
    """Where it is, and the probabilities ``(7,)`` that each path gives for it."""

    box: Box
    right: dict[Path, NDArray[np.float32]]


@dataclass(frozen=True)
class Picture:
    """RGB uint8 ``(H, W, 3)`` and its faces, the largest first."""

    frame: int
    rgb: NDArray[np.uint8]
    faces: tuple[Face, ...]
    payloads: tuple[bytes, ...]


def clip_pictures(every: int = 1, search_side_px: int = SEARCH_SIDE_PX) -> list[Picture]:
    """The frames of the bundled clip that have faces, answered without any link."""
    weights = Weights(default_folder())
    device = Device(load_config(None, {"search_side_px": search_side_px}))
    rate = weights.rate_index("")
    tail = weights.tail(weights.manifest.default_tail, 1)
    temperature = np.float32(weights.temperature(weights.manifest.default_tail, rate))
    pictures = []
    with open_source("demo") as clip:
        for frame in clip:
            found = device.find(frame.rgb) if frame.index % every == 0 else None
            if found is None or found.z is None or found.features is None:
                continue
            cloud = tail.run(
                weights.quantiser.symbols(found.z, rate),
                weights.quantiser.steps(rate),
                np.repeat(temperature, len(found.boxes)),
            )
            local, _ = device.local_answers(found.features)
            faces = tuple(
                Face(box, {Path.CLOUD: cloud[i], Path.LOCAL: np.float32(local[i].probabilities)})
                for i, box in enumerate(found.boxes)
            )
            payloads = tuple(device.payloads(found.z, rate))
            pictures.append(Picture(frame.index, frame.rgb, faces, payloads))
    return pictures


def distinct(pictures: list[Picture]) -> list[Picture]:
    """Those of which no face's answer could be taken for another's."""
    kept: list[Picture] = []
    for picture in pictures:
        known = [face for one in kept for face in one.faces]
        if len(kept) < MOST_PICTURES and not any(
            alike(face, other) for face in picture.faces for other in known
        ):
            kept.append(picture)
    return kept


def alike(face: Face, other: Face) -> bool:
    """Whether an answer for one could be right for the other."""
    return any(
        np.abs(face.right[path] - other.right[path]).max() <= 2 * TOLERANCE for path in face.right
    )
