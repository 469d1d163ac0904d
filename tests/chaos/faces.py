"""Pictures whose right answers are known beforehand, and differ from picture to picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.config import load_config
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.contracts import Box
from splitfer.shared.weights import Weights, default_folder

SEARCH_SIDE_PX = 320
# An answer is the right one where no probability is further off; two faces differ by more than
# twice as much, so that an answer cannot pass for another face's.
TOLERANCE = 3e-4
MOST_PICTURES = 16


@dataclass(frozen=True)
class Face:
    """Where it is, its payload at the default rate, and the probabilities ``(7,)`` that each way
    gives for it: ``local``, and ``cloud:RATE`` for each rate."""

    box: Box
    payload: bytes
    right: dict[str, NDArray[np.float32]]

    def off(
        self, path: str, rate: str | None, probabilities: Sequence[float], together: bool = False
    ) -> float:
        """How far probabilities lie from the right ones for that path and rate, or from the mean of
        them and the device's own."""
        right = self.right[path if path == "local" else f"{path}:{rate}"]
        if together:
            right = (right + self.right["local"]) / 2
        return float(np.abs(right - np.float32(probabilities)).max())


@dataclass(frozen=True)
class Picture:
    """RGB uint8 ``(H, W, 3)`` and its faces, the largest first."""

    frame: int
    rgb: NDArray[np.uint8]
    faces: tuple[Face, ...]

    @property
    def payloads(self) -> list[bytes]:
        """One a face."""
        return [face.payload for face in self.faces]


def clip_pictures(every: int = 1, search_side_px: int = SEARCH_SIDE_PX) -> list[Picture]:
    """The frames of the bundled clip that have faces, answered without any link."""
    weights = Weights(default_folder())
    device = Device(load_config(None, {"search_side_px": search_side_px}))
    tail = weights.tail(weights.manifest.default_tail, 1)
    pictures = []
    with open_source("demo") as clip:
        for frame in clip:
            found = device.find(frame.rgb) if frame.index % every == 0 else None
            if not isinstance(found, FoundFaces):
                continue
            ways = {
                "local": [one.probabilities for one in device.local_answers(found.tail_input)[0]]
            }
            for index, rate in enumerate(weights.manifest.rates):
                temperature = weights.temperature(weights.manifest.default_tail, index)
                ways[f"cloud:{rate.name}"] = tail.run(
                    weights.quantiser.symbols(found.z, index),
                    weights.quantiser.steps(index),
                    np.full(len(found.boxes), temperature, np.float32),
                )
            payloads = device.payloads(found.z, weights.manifest.default_rate)
            faces = tuple(
                Face(box, payload, {way: np.float32(rows[i]) for way, rows in ways.items()})
                for i, (box, payload) in enumerate(zip(found.boxes, payloads, strict=True))
            )
            pictures.append(Picture(frame.index, frame.rgb, faces))
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
        np.abs(face.right[way] - other.right[way]).max() <= 2 * TOLERANCE for way in face.right
    )
