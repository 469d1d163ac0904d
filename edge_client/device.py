"""The device's own part of the work: find faces, cut them out, run the head, run the local tail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import LATENT_SHAPE, Answer, Box
from splitfer.shared.prior import Prior
from splitfer.shared.vision.crop import crop_face, ready_crop
from splitfer.shared.vision.detection import FaceDetector, SearchLimits, open_detector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.vision.quality import scores
from splitfer.shared.weights import Weights, default_folder


@dataclass(frozen=True)
class NoFaces:
    """A frame without faces, and what the search took."""

    detect_ms: float


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one frame, at least one: boxes, what the local model takes (features float32
    ``(N, 116, 28, 28)``, or crops uint8 ``(N, 1, 224, 224)``), ``z`` ``(N, 8, 28, 28)``, good for
    every rate, the scores of the faces' pictures, and what it took.

    Where nobody wants ``z`` it has no rows. ``detect_ms`` is None where somebody else found them.
    """

    boxes: tuple[Box, ...]
    tail_input: NDArray[np.float32] | NDArray[np.uint8]
    z: NDArray[np.float32]
    detect_ms: float | None
    head_ms: float
    qualities: tuple[float, ...]

    def only(self, indices: Sequence[int]) -> FoundFaces:
        """Some of the faces."""
        chosen = list(indices)
        return replace(
            self,
            boxes=tuple(self.boxes[i] for i in chosen),
            tail_input=self.tail_input[chosen],
            z=self.z[chosen],
            qualities=tuple(self.qualities[i] for i in chosen),
        )


class Search(Protocol):
    """Finds the faces of a frame."""

    def detect(self, grey: NDArray[np.uint8]) -> list[Box]:
        """Boxes in a grey frame uint8 ``(H, W)``, in its pixels, the largest first."""
        ...


class Device:
    """Detector, head, quantiser, payload codec and local tail. Belongs to one thread at a time.

    ``manifest`` is that of its weights, ``rate`` the name of the configured rate, ``label_set``
    whose labels it answers, ``codecs`` what payloads may be written by. Its answers are natural;
    where others are wanted, ``balance`` says how common each class was in training. ``shares`` say
    how common the wanted answers take each class to be. ``head_ms_per_face`` and
    ``tail_ms_per_face`` were measured as it began.

    Raises:
        WeightsError: the weights are missing, altered, or give wrong numbers here.
        ConfigError: they have no rate or local model of that name, do not answer these labels, or
            do not know this prior.
    """

    def __init__(self, config: EdgeConfig) -> None:
        weights = Weights(config.weights or default_folder())
        self.manifest = weights.manifest
        self.fingerprint = weights.manifest.fingerprint
        local_tail = weights.local_tail(config.local_model)
        self.model = f"{self.fingerprint}/{local_tail}"
        self.rate = weights.manifest.rates[weights.rate_index(config.rate)].name
        self.label_set = weights.label_set(config.labels)
        prior = weights.prior(config.prior, self.label_set)
        balanced = prior is Prior.BALANCED
        self.balance = self.manifest.priors[self.label_set] if balanced else None
        self.shares = self.manifest.shares(self.label_set, prior)
        self.codecs = weights.payload_codec.names
        self._weights = weights
        self._cropping = weights.manifest.crop
        self._detectors: dict[str | None, FaceDetector] = {None: _detector(config)}
        self._search: Search = self._detectors[None]
        self._ready_crops = config.crops
        self._head = weights.head(config.threads)
        self._tail = weights.tail(local_tail, config.threads)
        self._head_runs = config.server is not None or not self._tail.takes_crops
        self._warm_up(weights.golden.crops)

    def add_camera(self, name: str, config: EdgeConfig) -> None:
        """A detector for the frames of the camera of this name."""
        self._detectors[name] = _detector(config)

    def detector(self, camera: str | None) -> FaceDetector:
        """That of the camera of this name; None where there is but one."""
        return self._detectors[camera]

    def turn_to(self, search: Search) -> None:
        """The faces of the next frames are found by this."""
        self._search = search

    def find(self, rgb: NDArray[np.uint8]) -> FoundFaces | NoFaces:
        """Faces of a frame uint8 ``(H, W, 3)``, with their features and ``z``."""
        start = time.monotonic()
        grey = to_grey(rgb)
        height, width = grey.shape
        boxes = (
            (Box(0, 0, width, height),) if self._ready_crops else tuple(self._search.detect(grey))
        )
        detect_ms = since_ms(start)
        if not boxes:
            return NoFaces(detect_ms)
        return self.look(grey, boxes, detect_ms)

    def look(
        self, grey: NDArray[np.uint8], boxes: tuple[Box, ...], detect_ms: float | None = None
    ) -> FoundFaces:
        """Features and ``z`` of boxes in a grey frame uint8 ``(H, W)``."""
        start = time.monotonic()
        crops = self._crops(grey, boxes)
        qualities = scores(crops, boxes, self._cropping)
        tail_input, z = self._run_head(crops)
        head_ms = since_ms(start)
        return FoundFaces(boxes, tail_input, z, detect_ms, head_ms, qualities)

    def _run_head(
        self, crops: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32] | NDArray[np.uint8], NDArray[np.float32]]:
        """What the local model takes, and ``z`` where somebody may want it."""
        if not self._head_runs:
            return crops[:, None], np.empty((0, *LATENT_SHAPE), np.float32)
        features, z = self._head.run(crops)
        return (crops[:, None], z) if self._tail.takes_crops else (features, z)

    def qualities(self, grey: NDArray[np.uint8], boxes: tuple[Box, ...]) -> tuple[float, ...]:
        """Scores of the faces in these boxes of a grey frame uint8 ``(H, W)``."""
        return scores(self._crops(grey, boxes), boxes, self._cropping)

    def payloads(self, z: NDArray[np.float32], rate: str) -> list[bytes]:
        """``z`` ``(N, 8, 28, 28)`` quantised and encoded at the rate of this name, one payload a
        face."""
        index, codec = self._weights.rate_index(rate), self._weights.payload_codec
        symbols = self._weights.quantiser.symbols(z, index)
        return [codec.encode(Latent(one, index)) for one in symbols]

    def local_answers(
        self, tail_input: NDArray[np.float32] | NDArray[np.uint8]
    ) -> tuple[list[Answer], float]:
        """Answers of the local model alone for what ``FoundFaces`` has, and milliseconds."""
        start = time.monotonic()
        rows = self._tail.run(tail_input, label_set=self.label_set)
        tail_ms = since_ms(start)
        answers = [Answer(tuple(row), self.model, self.label_set) for row in rows.tolist()]
        return answers, tail_ms

    def _crops(self, grey: NDArray[np.uint8], boxes: tuple[Box, ...]) -> NDArray[np.uint8]:
        return np.stack([self._crop(grey, box) for box in boxes])

    def _crop(self, grey: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        if self._ready_crops:
            return ready_crop(grey, self._cropping)
        return crop_face(grey, box, self._cropping)

    def _warm_up(self, crops: NDArray[np.uint8]) -> None:
        """What the device takes, without the first runs: they are slow."""
        tail_input, _ = self._run_head(crops)
        self.local_answers(tail_input)
        head_ms, tail_ms = [], []
        for _ in range(3):
            start = time.monotonic()
            self._run_head(crops)
            head_ms.append(since_ms(start) / len(crops))
            tail_ms.append(self.local_answers(tail_input)[1] / len(crops))
        self.head_ms_per_face, self.tail_ms_per_face = median(head_ms), median(tail_ms)


def _detector(config: EdgeConfig) -> FaceDetector:
    limits = SearchLimits(
        config.search_side_px,
        config.smallest_face_px,
        config.faces_per_frame,
        config.search_enlarged,
    )
    return open_detector(config.detector, limits)


def since_ms(start_s: float) -> float:
    """Milliseconds since a monotonic instant."""
    return (time.monotonic() - start_s) * 1000
