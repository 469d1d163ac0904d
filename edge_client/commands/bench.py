"""``edge-client bench``: measures this very device, and the settings that suit it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.device import Device, FoundFaces, since_ms
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.deadline import Clock
from splitfer.shared.errors import WeightsError
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.weights import Weights, default_folder

SIDES_PX = (320, 480, 640, 960)
"""Longer sides of the searched picture that are tried, finest last."""

FRAMES = 30
CAMERA_PX = 1280
_CLIP_FRAMES = 160
# What is left for the link, the merge and a busy moment.
_ROOM = 1.5
_LEAST_DEADLINE_MS = 50.0
_MOST_DEADLINE_MS = 1000.0
# How much quicker what is not the default must be.
_WORTH = 1.1
# What another local model may be right less often, on this part of the data.
_MOST_LOST, _PART = 0.005, "PublicTest"


@dataclass(frozen=True)
class Measured:
    """What the clip's frames took: medians of each part, and what 95 % of the frames stayed under.
    ``head_ms`` and ``tail_ms`` are of one face."""

    threads: int
    search_side_px: int
    detect_ms: float
    head_ms: float
    tail_ms: float
    total_p95_ms: float
    faces: int
    local_model: str = BACKBONE

    @property
    def face_ms(self) -> float:
        """Milliseconds that one face takes."""
        return self.head_ms + self.tail_ms


def frames_of_clip(count: int = FRAMES) -> list[Frame]:
    """Frames of the bundled clip, evenly spread, as large as a camera's: ``CAMERA_PX`` wide."""
    step = max(1, _CLIP_FRAMES // count)
    with open_source("demo") as clip:
        chosen = islice((frame for frame in clip if frame.index % step == 0), count)
        return [replace(frame, rgb=_enlarged(frame.rgb)) for frame in chosen]


def _enlarged(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = round(CAMERA_PX * rgb.shape[0] / rgb.shape[1])
    return np.asarray(Image.fromarray(rgb).resize((CAMERA_PX, height)))


def measure(
    config: EdgeConfig, threads: int, side_px: int, frames: Sequence[Frame], clock: Clock
) -> Measured:
    """Search, head and local tail on ``frames``, one after another."""
    changed = {**dict(config), "threads": threads, "search_side_px": side_px}
    device = Device(EdgeConfig(**changed))
    detect, head, tail, total, faces = [], [], [], [], 0
    for frame in frames:
        start_s = clock()
        found = device.find(frame.rgb)
        detect.append(found.detect_ms or 0.0)
        if isinstance(found, FoundFaces):
            faces += len(found.boxes)
            head.append(found.head_ms / len(found.boxes))
            tail.append(device.local_answers(found.tail_input)[1] / len(found.boxes))
        total.append(since_ms(start_s))
    detect_ms, head_ms, tail_ms = (
        statistics.median(times) if times else 0.0 for times in (detect, head, tail)
    )
    return Measured(
        threads, side_px, detect_ms, head_ms, tail_ms, _p95(total), faces, config.local_model
    )


def models_as_good(config: EdgeConfig) -> tuple[str, ...]:
    """Other local models of the weights that are right at most ``_MOST_LOST`` less often than the
    one that is set, by what their manifest says of the label set in use."""
    weights = Weights(config.weights or default_folder())
    label_set, models = weights.label_set(config.labels), weights.manifest.local_models
    right = {
        name: found.accuracy.get(_PART)
        for name, tail in models.items()
        if (found := weights.manifest.tails[tail].answers.get(label_set))
    }
    own = right.get(config.local_model)
    if own is None:
        return ()
    return tuple(
        name
        for name, share in right.items()
        if name != config.local_model and share is not None and share >= own - _MOST_LOST
    )


def measurements(
    config: EdgeConfig,
    one: Callable[[EdgeConfig, int, int], Measured],
    others: Sequence[str] = (),
) -> Iterator[Measured]:
    """Every number of threads at the search's present size, then the other sizes with the best, and
    the ``others``, local models: of these, those whose golden logits come out here."""
    count = os.cpu_count() or 1
    several = sorted({1, 2, min(4, count)} & set(range(1, count + 1)))
    by_threads = [one(config, threads, config.search_side_px) for threads in several]
    yield from by_threads
    best = best_threads(by_threads)
    for side in SIDES_PX:
        if side != config.search_side_px:
            yield one(config, best, side)
    for name in others:
        with suppress(WeightsError):
            other = EdgeConfig(**{**dict(config), "local_model": name})
            yield one(other, best, config.search_side_px)


def best_threads(found: Sequence[Measured]) -> int:
    """The fewest threads that are within a tenth of the fastest: the others are not worth it."""
    fastest = min(one.face_ms for one in found)
    return min(one.threads for one in found if one.face_ms <= _WORTH * fastest)


def quicker_model(found: Sequence[Measured]) -> str | None:
    """The quickest of the local models, where it is more than a tenth quicker than the first
    one's."""
    first = found[0]
    threads = best_threads([one for one in found if one.local_model == first.local_model])
    like = [
        one
        for one in found
        if one.threads == threads and one.search_side_px == first.search_side_px
    ]
    own = next(one for one in like if one.local_model == first.local_model)
    best = min(like, key=lambda one: one.face_ms)
    return best.local_model if _WORTH * best.face_ms < own.face_ms else None


def recommended(found: Sequence[Measured], frame_ms: float) -> dict[str, Any]:
    """Settings: the finest search with which frames that come every ``frame_ms`` are answered
    before the next one comes, else the coarsest; a deadline that the device keeps alone."""
    model = quicker_model(found)
    found = [one for one in found if one.local_model == found[0].local_model]
    threads = best_threads([one for one in found if one.search_side_px == found[0].search_side_px])
    own = sorted(
        (one for one in found if one.threads == threads), key=lambda one: one.search_side_px
    )
    in_time = [one for one in own if one.total_p95_ms <= frame_ms]
    chosen = in_time[-1] if in_time else own[0]
    deadline_ms = min(max(_ROOM * chosen.total_p95_ms, _LEAST_DEADLINE_MS), _MOST_DEADLINE_MS)
    return {
        "threads": threads,
        "search_side_px": chosen.search_side_px,
        "deadline_ms": float(10 * round(deadline_ms / 10)),
    } | ({"local_model": model} if model else {})


def as_yaml(settings: dict[str, Any], found: Sequence[Measured]) -> str:
    """A config file, with what it rests on."""
    lines = ["# Measured on this device by `edge-client bench`; times in ms.", f"# {_HEAD}"]
    lines += [f"# {as_line(one)}" for one in found]
    lines += [f"{key}: {value}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


_HEAD = "threads  search px  search  head/face  tail/face  frame p95  faces  model"


def as_line(one: Measured) -> str:
    """The figures as one line for a person, under ``heading``."""
    return (
        f"{one.threads:7d}  {one.search_side_px:9d}  {one.detect_ms:6.1f}  {one.head_ms:9.1f}  "
        f"{one.tail_ms:9.1f}  {one.total_p95_ms:9.1f}  {one.faces:5d}  {one.local_model}"
    )


def heading() -> str:
    """The heading of the lines."""
    return _HEAD


def _p95(times_ms: Sequence[float]) -> float:
    ordered = sorted(times_ms)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
