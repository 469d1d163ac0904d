"""Whole pictures to crops: decode (in processes), detect, crop; in worker threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.pictures.decoder import PictureDecoder
from splitfer.shared.contracts import CROP_SIDE, Box
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    NotReady,
    Overloaded,
    SplitFerError,
)
from splitfer.shared.vision.crop import Cropping, crop_face, to_grey
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
    """A bounded number of pictures at once. dlib and ONNX Runtime release the GIL.

    A detector belongs to one thread, so each worker has its own; there are as many decoders.
    """

    def __init__(self, config: CloudConfig) -> None:
        self._limits = config.limits
        self._name, self._search_side_px = config.detector, config.search_side_px
        self._workers = ThreadPoolExecutor(config.picture_threads, thread_name_prefix="picture")
        self._own = threading.local()
        self._pictures_max = config.pictures_max
        self._places = threading.BoundedSemaphore(config.pictures_max)
        self._decoders = tuple(
            PictureDecoder(config.limits.picture_pixels, config.picture_decode_s)
            for _ in range(config.picture_threads)
        )
        self._idle_decoders = list(self._decoders)
        self._closed = False
        self._warm_up(config.picture_threads)

    async def read(self, data: bytes, cropping: Cropping, deadline: Deadline) -> ReadPicture:
        """The bytes of a JPEG, PNG or WebP -> its faces.

        Raises:
            ImageError: damaged, a kind that is not read, or its decoder broke or took too long.
            PayloadTooLarge: too many pixels.
            Overloaded: as many pictures as may wait are waiting.
            DeadlineExceeded: no time was left when its turn came.
            InferenceFailed: the detector failed, or no decoder could be started.
            NotReady: closed, before or meanwhile.
        """
        if self._closed:
            raise NotReady("the server is stopping")
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"{self._pictures_max} pictures are waiting already")
        # In the caller's context, so that what is logged there names the request.
        context = contextvars.copy_context()
        job = self._workers.submit(context.run, self._read, data, cropping, deadline)
        job.add_done_callback(self._leave)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._closed and caller is not None and not caller.cancelling():
                raise NotReady("the server is stopping") from None
            raise

    def close(self) -> None:
        """Stop; pictures that wait or are being decoded raise ``NotReady``."""
        self._closed = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def _leave(self, _: Future[ReadPicture]) -> None:
        # Not when the caller gives up: a worker that has begun still holds its picture.
        self._places.release()

    def _read(self, data: bytes, cropping: Cropping, deadline: Deadline) -> ReadPicture:
        try:
            return self._stages(data, cropping, deadline)
        except SplitFerError:
            raise
        except Exception as error:
            log.exception("a picture failed in the detector")
            raise InferenceFailed("the server failed on this picture") from error

    def _stages(self, data: bytes, cropping: Cropping, deadline: Deadline) -> ReadPicture:
        _in_time(deadline)
        rgb = self._decoded(data)
        _in_time(deadline)
        start = time.perf_counter()
        grey = to_grey(rgb)
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

    def _decoded(self, data: bytes) -> NDArray[np.uint8]:
        decoder = self._idle_decoders.pop()
        try:
            return decoder.decode(data)
        finally:
            self._idle_decoders.append(decoder)

    def _warm_up(self, threads: int) -> None:
        # Making a detector takes a quarter of a second, which the first callers would pay. The
        # barrier keeps each thread busy until all of them have begun.
        together = threading.Barrier(threads)

        def begin() -> None:
            together.wait()
            self._detector()

        for job in [self._workers.submit(begin) for _ in range(threads)]:
            job.result()

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
