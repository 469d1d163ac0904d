"""What the server does, free of any protocol: values in, values out.

    infer:          payloads -> tail -> results
    infer_latents:  latents -> tail -> results
    infer_crops:    crops -> head -> latents -> tail -> results
    classify:       picture -> faces -> crops -> backbone -> results
                    or, where a cloud tail is named, as infer_crops

A face gets an answer or an error of its own; a request fails as a whole only where it is wrong as
a whole. "No face" is a result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.face import Crop, Face
from splitfer.cloud_server.inference.head import ServedHead
from splitfer.cloud_server.inference.pending_faces import PendingFaces
from splitfer.cloud_server.inference.tail import TailAnswer
from splitfer.cloud_server.pictures.reader import PictureReader
from splitfer.cloud_server.service.face_queue import Answered, FaceQueue
from splitfer.cloud_server.service.limits import too_large
from splitfer.cloud_server.service.results import Classified, FaceResult, Inferred, ServedModel
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.request import set_route
from splitfer.cloud_server.weights.registry import Registry, ServedWeights
from splitfer.cloud_server.weights.target import Target, target_in
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import Payload, PayloadCodec
from splitfer.shared.contracts import SCHEMA_VERSION, AnswerPath, Box, LatencyMs, trust_in
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, ModelMismatch, PayloadTooLarge, SplitFerError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.version import server_version


class Service:
    """The server's one implementation; gRPC and REST are shells around it. Its parts are started
    and closed by whoever made them."""

    def __init__(
        self,
        config: CloudConfig,
        registry: Registry,
        pictures: PictureReader,
        head: ServedHead,
        faces: FaceQueue,
        metrics: Metrics,
    ) -> None:
        self._config, self._limits = config, config.limits
        self._registry, self._pictures, self._head = registry, pictures, head
        self._faces, self._metrics = faces, metrics

    def model(self, fingerprint: str = "") -> ServedModel:
        """The handshake with a caller that has these weights; the default's where not served."""
        try:
            served = self._registry.weights(fingerprint)
        except ModelMismatch:
            served = self._registry.default
        return ServedModel(
            schema_version=SCHEMA_VERSION,
            server_version=server_version(),
            fingerprint=served.fingerprint,
            labels=LABELS,
            tails=tuple(served.tails),
            codecs=served.codec.names,
            limits=self._limits,
            served=self._registry.fingerprints,
            label_sets=served.label_sets(served.tail("")),
        )

    def check_capacity(
        self, fingerprint: str, tail: str, deadline: Deadline, labels: LabelSet | None = None
    ) -> Target:
        """Where ``start_infer`` would take a face now; ``tail`` empty and ``labels`` None mean the
        defaults. It is cheap.

        Raises:
            ModelMismatch, DeadlineExceeded: see ``infer``.
            Overloaded, NotReady: see ``Batcher.check_capacity``.
        """
        target = self._timely_target(fingerprint, tail, deadline, labels)
        target.tail.check_capacity(deadline)
        return target

    def start_infer(
        self,
        target: Target,
        payloads: Sequence[bytes],
        deadline: Deadline,
        done: Callable[[Inferred], None],
    ) -> PendingFaces[TailAnswer]:
        """``infer`` without waiting: ``done`` is called with the results, unless the faces are
        withdrawn. The caller counts the request with ``target.weights`` until either.

        Raises:
            PayloadTooLarge: see ``infer``.
        """
        start = time.perf_counter()
        self._bound(len(payloads))
        size, most = sum(map(len, payloads)), self._limits.infer_message_bytes
        if size > most:
            raise PayloadTooLarge(f"{size} bytes of payloads; at most {most} in one message")

        def settled(answered: Answered) -> None:
            done(_inferred(answered, start))

        codec = target.weights.codec
        opened = [_opened(one, codec) for one in payloads]
        return self._faces.start(opened, target, deadline, settled)

    async def infer(
        self,
        fingerprint: str,
        tail: str,
        payloads: Sequence[bytes],
        deadline: Deadline,
        labels: LabelSet | None = None,
    ) -> Inferred:
        """One frame's payloads -> a result each, of natural probabilities; ``tail`` empty and
        ``labels`` None mean the defaults.

        Raises:
            ModelMismatch: other weights made the latents, no such tail, or it does not answer
                these labels.
            PayloadTooLarge: too many faces, or too many bytes together.
            DeadlineExceeded: nothing was left on arrival.
        """
        target = self._timely_target(fingerprint, tail, deadline, labels)
        inferred: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        with target.weights.request():
            faces = self.start_infer(target, payloads, deadline, partial(_answer_once, inferred))
            try:
                return await inferred
            finally:
                faces.withdraw()

    async def infer_latents(
        self,
        fingerprint: str,
        tail: str,
        symbols: NDArray[np.uint8],
        rate: str,
        deadline: Deadline,
        labels: LabelSet | None = None,
    ) -> Inferred:
        """Symbols ``(N, 8, 28, 28)`` of the rate called ``rate`` -> a result each; ``tail`` and
        ``rate`` empty and ``labels`` None mean the defaults.

        Raises:
            ModelMismatch: no such weights, no such tail, or it does not answer these labels.
            MalformedPayload: no such rate.
            PayloadTooLarge: too many faces.
        """
        start = time.perf_counter()
        self._bound(len(symbols))
        target = self._target(AnswerPath.CLOUD, fingerprint, tail, labels)
        index = target.weights.rate_index(rate)
        with target.weights.request():
            latents = [Latent(one, index) for one in symbols]
            return _inferred(await self._faces.answer(latents, target, deadline), start)

    async def infer_crops(
        self,
        fingerprint: str,
        crops: NDArray[np.uint8],
        rate: str,
        deadline: Deadline,
        labels: LabelSet | None = None,
    ) -> Inferred:
        """Crops ``(N, 224, 224)`` -> a result each, by head, quantiser and default tail; ``rate``
        empty and ``labels`` None mean the defaults.

        Raises:
            ModelMismatch: no such weights, or they do not answer these labels.
            MalformedPayload: no such rate.
            PayloadTooLarge: too many faces.
        """
        start = time.perf_counter()
        self._bound(len(crops))
        target = self._target(AnswerPath.IMAGE, fingerprint, "", labels)
        with target.weights.request():
            latents = await self._latents(target.weights, crops, rate, deadline)
            head_ms = _since_ms(start)
            return _inferred(await self._faces.answer(latents, target, deadline), start, head_ms)

    async def classify(
        self,
        picture: bytes,
        tail: str,
        deadline: Deadline,
        labels: LabelSet | None = None,
        prior: Prior | None = None,
    ) -> Classified:
        """The bytes of a JPEG, PNG or WebP -> its faces, largest first, and a result each. ``tail``
        empty means the backbone, unless the server was given a tail; ``labels`` and ``prior`` None
        mean the defaults.

        Raises:
            ImageError: damaged, or a kind that is not read.
            PayloadTooLarge: too many bytes or pixels.
            ModelMismatch: no such tail, it does not answer these labels, or the weights do not say
                how common the classes were in training.
            Overloaded: too many pictures are waiting.
            DeadlineExceeded: it passed before the faces were found.
        """
        start = time.perf_counter()
        if len(picture) > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        served = self._registry.default
        set_route(AnswerPath.IMAGE, served.fingerprint)
        served_tail = served.of_pictures(tail, self._config.tail)
        target = Target(served, served_tail, served.label_set(served_tail, labels))
        balance = served.balance(target.labels, prior, self._config.prior)
        with served.request():
            self._metrics.pictures_in_work += 1
            try:
                async with asyncio.timeout(deadline.remaining_ms() / 1000):
                    read = await self._pictures.read(
                        picture, served.weights.manifest.crop, deadline
                    )
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed before the faces were found") from None
            finally:
                self._metrics.pictures_in_work -= 1
            found = time.perf_counter()
            faces: Sequence[Face | SplitFerError] = [Crop(one) for one in read.crops]
            head_ms = None
            if target.tail is not served.backbone:
                faces = await self._latents(served, read.crops, "", deadline)
                head_ms = _since_ms(found) if faces else None
            answered = await self._faces.answer(faces, target, deadline)
            head_ms = answered.head_ms if head_ms is None else head_ms
            self._metrics.picture_read(read.detect_ms, head_ms)
        results = answered.results
        if balance is not None:
            results = [
                one if isinstance(one, SplitFerError) else one.balanced(balance) for one in results
            ]
        shares = served.weights.manifest.shares(
            target.labels, Prior.NATURAL if balance is None else Prior.BALANCED
        )
        trust = tuple(
            None
            if isinstance(one, SplitFerError)
            else trust_in(one, quality, shares, self._config.uncertain_below)
            for one, quality in zip(results, read.qualities, strict=True)
        )
        latency_ms = LatencyMs(
            detect=read.detect_ms, head=head_ms, tail=answered.tail_ms, total=_since_ms(start)
        )
        found_faces: list[tuple[Box, FaceResult]] = list(zip(read.boxes, results, strict=True))
        return Classified(read.width, read.height, found_faces, latency_ms, read.qualities, trust)

    async def _latents(
        self, served: ServedWeights, crops: NDArray[np.uint8], rate: str, deadline: Deadline
    ) -> list[Latent | SplitFerError]:
        index, quantiser = served.rate_index(rate), served.weights.quantiser
        return await self._head.latents(crops, served.head, quantiser, index, deadline)

    def _target(
        self, path: AnswerPath, fingerprint: str, tail: str, labels: LabelSet | None
    ) -> Target:
        weights = self._registry.weights(fingerprint)
        set_route(path, weights.fingerprint)
        return target_in(weights, tail, labels)

    def _timely_target(
        self, fingerprint: str, tail: str, deadline: Deadline, labels: LabelSet | None
    ) -> Target:
        target = self._target(AnswerPath.CLOUD, fingerprint, tail, labels)
        if deadline.expired():
            raise DeadlineExceeded("the deadline passed before the request was read")
        return target

    def _bound(self, faces: int) -> None:
        most = self._limits.faces_per_frame
        if faces > most:
            raise PayloadTooLarge(f"{faces} faces in one frame; at most {most}")


def _opened(payload: bytes, codec: PayloadCodec) -> Payload | SplitFerError:
    try:
        return codec.open(payload)
    except SplitFerError as error:
        return error


def _answer_once(waiter: asyncio.Future[Inferred], inferred: Inferred) -> None:
    if not waiter.done():  # its caller may have gone
        waiter.set_result(inferred)


def _inferred(answered: Answered, start_s: float, head_ms: float | None = None) -> Inferred:
    times = LatencyMs(head=head_ms, tail=answered.tail_ms, total=_since_ms(start_s))
    return Inferred(answered.results, times)


def _since_ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
