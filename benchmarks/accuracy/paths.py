"""One folder of weights, opened to be measured: the three paths from the crop on.

    cloud  head -> quantiser -> payload -> bytes -> payload -> cloud tail
    local  head -> local tail
    image  picture codec -> bytes -> decoded as the server does -> head -> local tail

A picture of FER2013 is itself the crop.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.accuracy.picture_codec import PictureCodec
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import softmax

BATCH = 32
# The mean of both answers, which `auto` and `cascade` give.
TOGETHER = "cloud+local"


@dataclass(frozen=True)
class Column:
    """One thing to measure: a path, at the rate with this index, which only ``cloud`` goes by."""

    path: AnswerPath
    rate: int


@dataclass(frozen=True)
class Scores:
    """What a path gave: ``logits`` float32 ``(N, 7)`` in one label set, and the bytes sent, int64
    ``(N,)``. ``by_label_set`` has the logits in every one that the path answers."""

    logits: NDArray[np.float32]
    sent_bytes: NDArray[np.int64]
    by_label_set: dict[LabelSet, NDArray[np.float32]] = field(default_factory=dict)

    def asked(self, label_set: LabelSet) -> Scores:
        """The same run, in another label set."""
        return Scores(self.by_label_set[label_set], self.sent_bytes, self.by_label_set)

    def right(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which answers are the label, bool ``(N,)``."""
        return np.asarray(self.logits.argmax(axis=1) == labels)


class Paths:
    """The head, the local tail and one cloud tail (empty: the default) of some weights, as they
    answer in one label set (None: the weights' default).

    Raises:
        WeightsError: no such cloud tail, or the weights are not in order.
        ConfigError: the weights do not answer in this label set.
    """

    def __init__(
        self, weights: Weights, tail: str, threads: int, label_set: LabelSet | None = None
    ) -> None:
        self.weights, self.tail = weights, tail or weights.manifest.default_tail
        self.label_set = weights.label_set(label_set)
        entry = weights.manifest.tails.get(self.tail)
        if entry is not None and entry.path is AnswerPath.LOCAL:
            raise WeightsError(f"{self.tail!r} is not a cloud tail")
        self._head = weights.head(threads)
        self._local = weights.tail(LOCAL_TAIL, threads)
        self._cloud = weights.tail(self.tail, threads)

    def asked(self, label_set: LabelSet) -> Paths:
        """The same networks, asked in another label set.

        Raises:
            ConfigError: the weights do not answer in it.
        """
        other = copy.copy(self)
        other.label_set = self.weights.label_set(label_set)
        return other

    def run(self, columns: list[Column], crops: NDArray[np.uint8]) -> dict[Column, Scores]:
        """Crops uint8 ``(N, 224, 224)`` through the columns of ``cloud`` and ``local``."""
        features, z = self._head.run(crops)
        nothing = np.zeros(len(crops), np.int64)
        return {
            column: self.sent(z, column.rate)
            if column.path is AnswerPath.CLOUD
            else self._scores(self._local.all_logits(features), nothing)
            for column in columns
        }

    def z(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 ``(N, 224, 224)`` -> the latents before the quantiser ``(N, 8, 28, 28)``."""
        return self._head.run(crops)[1]

    def sent(self, z: NDArray[np.float32], rate: int) -> Scores:
        """Latents before the quantiser through quantiser, payload and cloud tail."""
        codec = self.weights.payload_codec
        symbols = self.weights.quantiser.symbols(z, rate)
        payloads = [codec.encode(Latent(one, rate)) for one in symbols]
        received = np.stack([codec.decode(payload).symbols for payload in payloads])
        sizes = np.array([len(payload) for payload in payloads])
        logits = self._cloud.all_logits(received, self.weights.quantiser.steps(rate))
        return self._scores(logits, sizes)

    def run_image(self, pictures: NDArray[np.uint8], codec: PictureCodec) -> Scores:
        """Pictures uint8 ``(N, H, W)``, each a crop, through the path ``image``."""
        sent = [codec.encode(picture) for picture in pictures]
        read = np.stack([codec.decode(data) for data in sent])
        sizes = np.array([len(data) for data in sent])
        return self._scores(self._local.all_logits(self._head.run(crops_of(read))[0]), sizes)

    def probabilities(self, column: Column, scores: Scores) -> NDArray[np.float32]:
        """Calibrated probabilities ``(N, 7)``, as a user gets them."""
        tail = self.tail if column.path is AnswerPath.CLOUD else LOCAL_TAIL
        temperature = self.weights.temperature(tail, column.rate, self.label_set)
        return softmax(scores.logits / np.float32(temperature))

    def together(self, local: Scores, cloud: Scores, rate: int) -> Scores:
        """The mean of both paths' probabilities, as the device gives it where that is better; its
        ``logits`` are the logarithms."""
        own = self.probabilities(Column(AnswerPath.LOCAL, rate), local)
        theirs = self.probabilities(Column(AnswerPath.CLOUD, rate), cloud)
        return Scores(np.log((own + theirs) / 2), cloud.sent_bytes)

    def _scores(
        self, logits: dict[LabelSet, NDArray[np.float32]], sizes: NDArray[np.int64]
    ) -> Scores:
        return Scores(logits[self.label_set], sizes, logits)


def measure(
    paths: Paths, columns: list[Column], pictures: NDArray[np.uint8], codec: PictureCodec
) -> dict[Column, Scores]:
    """All pictures uint8 ``(N, H, W)``, each a crop, through every column, a batch at a time."""
    device = [column for column in columns if column.path is not AnswerPath.IMAGE]
    parts: dict[Column, list[Scores]] = {column: [] for column in columns}
    for start in tqdm(range(0, len(pictures), BATCH), unit="batch", disable=None):
        batch = pictures[start : start + BATCH]
        scores = paths.run(device, crops_of(batch)) if device else {}
        for column in columns:
            if column.path is AnswerPath.IMAGE:
                scores[column] = paths.run_image(batch, codec)
            parts[column].append(scores[column])
    return {column: joined(some) for column, some in parts.items()}


def joined(parts: list[Scores]) -> Scores:
    """The scores of batches, one after the other."""
    return Scores(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.sent_bytes for part in parts]),
        {
            one: np.concatenate([part.by_label_set[one] for part in parts])
            for one in parts[0].by_label_set
        },
    )


def crops_of(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures ``(N, H, W)`` that are themselves the crops -> uint8 ``(N, 224, 224)``."""
    return np.stack([enlarge_crop(picture) for picture in pictures])
