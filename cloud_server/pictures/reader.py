"""Whole pictures to crops: decode (in processes), detect, crop; in worker threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.bounds import PICTURE_BYTES_A_PIXEL
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.pictures.decoder import PictureDecoder
from splitfer.cloud_server.pictures.fair_workers import FairWorkers
from splitfer.shared.contracts import CROP_SIDE, Box
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    SplitFerError,
)
from splitfer.shared.vision.crop import Cropping, crop_face
from splitfer.shared.vision.detection import FaceDetector, SearchLimits, open_detector
from splitfer.shared.vision.quality import scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadPicture:
    """A picture's size, its faces, largest first, their crops, uint8 ``(N, 224, 224)``, and the
    scores of these (``splitfer.shared.vision.quality``)."""

    width: int
    height: int
    boxes: list[Box]
    crops: NDArray[np.uint8]
    qualities: tuple[float, ...]
    detect_ms: float


class PictureReader:
    """A bounded number of pictures at once, callers by turns. dlib and ONNX Runtime free the GIL.

    A detector belongs to one thread, so each worker has its own; there are as many decoders.
    """

    def __init__(self, config: CloudConfig, budget: ByteBudget) -> None:
        self._limits, self._budget = config.limits, budget
        self._name, self._search_side_px = config.detector, config.search_side_px
        self._workers: FairWorkers[ReadPicture] = FairWorkers(
            "picture", config.picture_threads, config.pictures_max
        )
        self._own = threading.local()
        self._decoders = tuple(
            PictureDecoder(config.limits.picture_pixels, config.picture_decode_s)
            for _ in range(config.picture_threads)
        )
        self._idle_decoders = list(self._decoders)
        self._warm_up(config.picture_threads)

    async def read(self, data: bytes, cropping: Cropping, deadline: Deadline) -> ReadPicture:
        """The bytes of a JPEG, PNG or WebP -> its faces.

        Raises:
            ImageError: damaged, a kind that is not read, or its decoder broke or took too long.
            PayloadTooLarge: too many pixels, or more than there is memory for.
            Overloaded: as many pictures as may wait are waiting, and no other caller has more.
            DeadlineExceeded: no time was left when its turn came.
            InferenceFailed: the detector failed, or no decoder could be started.
            NotReady: closed, before or meanwhile.
        """
        return await self._workers.run(partial(self._read, data, cropping, deadline))

    def close(self) -> None:
        """Stop; pictures that wait or are being decoded raise ``NotReady``."""
        self._workers.close()
        for decoder in self._decoders:
            decoder.close()

    def _read(self, data: bytes, cropping: Cropping, deadline: Deadline) -> ReadPicture:
        owner, taken = current_account().key, 0

        def make_room(pixels: int) -> None:
            nonlocal taken
            size = PICTURE_BYTES_A_PIXEL * pixels
            self._budget.wait_for(owner, size, deadline)
            taken += size

        try:
            return self._stages(data, cropping, deadline, make_room)
        except SplitFerError:
            raise
        except Exception as error:
            log.exception("a picture failed in the detector")
            raise InferenceFailed("the server failed on this picture") from error
        finally:
            if taken:
                self._budget.give_back(owner, taken)

    def _stages(
        self, data: bytes, cropping: Cropping, deadline: Deadline, make_room: Callable[[int], None]
    ) -> ReadPicture:
        _in_time(deadline)
        grey = self._decoded(data, make_room)
        _in_time(deadline)
        start = time.perf_counter()
        boxes = self._detector().detect(grey)
        detected = time.perf_counter()
        crops = np.empty((0, CROP_SIDE, CROP_SIDE), np.uint8)
        qualities: tuple[float, ...] = ()
        if boxes:
            _in_time(deadline)
            crops = np.stack([crop_face(grey, box, cropping) for box in boxes])
            qualities = scores(crops, boxes, cropping)
        height, width = grey.shape
        detect_ms = (detected - start) * 1000
        return ReadPicture(width, height, boxes, crops, qualities, detect_ms)

    def _decoded(self, data: bytes, make_room: Callable[[int], None]) -> NDArray[np.uint8]:
        decoder = self._idle_decoders.pop()
        try:
            return decoder.decode(data, make_room)
        finally:
            self._idle_decoders.append(decoder)

    def _warm_up(self, threads: int) -> None:
        # Else the first callers would wait for the detectors to be loaded. The barrier keeps each
        # thread busy until all of them have begun.
        together = threading.Barrier(threads)

        def begin() -> None:
            together.wait()
            self._detector()

        self._workers.warm_up(begin)

    def _detector(self) -> FaceDetector:
        if not hasattr(self._own, "detector"):
            limits, side_px = self._limits, self._search_side_px
            self._own.detector = open_detector(
                self._name, SearchLimits(side_px, limits.smallest_face_px, limits.faces_per_frame)
            )
        detector: FaceDetector = self._own.detector
        return detector


def _in_time(deadline: Deadline) -> None:
    if deadline.expired():
        raise DeadlineExceeded("the deadline passed before the picture was read")
