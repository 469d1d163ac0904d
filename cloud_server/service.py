"""What the server does, free of any protocol: values in, values out.

    infer:          payloads -> tail -> results
    infer_latents:  latents -> tail -> results
    infer_crops:    crops -> head -> latents -> tail -> results
    classify:  picture -> faces -> crops -> head -> latents -> tail -> results

A face gets an answer or an error of its own; a request fails as a whole only where it is wrong as
a whole. "No face" is a result.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.inference.head import Crop, ServedHead
from splitfer.cloud_server.inference.pending_faces import PendingFaces, gather_faces
from splitfer.cloud_server.inference.tail import ServedTail, TailAnswer
from splitfer.cloud_server.pictures.reader import PictureReader
from splitfer.cloud_server.request import about
from splitfer.cloud_server.telemetry.live_metrics import LiveMetrics
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.observer import BatchObservers, Observer
from splitfer.cloud_server.telemetry.tls_metrics import TlsMetrics
from splitfer.cloud_server.telemetry.tracing import open_tracing
from splitfer.cloud_server.tls import ServerTls
from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import ServedWeights
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import Payload, PayloadCodec
from splitfer.shared.contracts import (
    SCHEMA_VERSION,
    Answer,
    AnswerPath,
    Box,
    LatencyMs,
    Limits,
    Trust,
    trust_in,
)
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    ConfigError,
    DeadlineExceeded,
    MalformedPayload,
    ModelMismatch,
    PayloadTooLarge,
    ServeError,
    SplitFerError,
)
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.version import server_version

FaceResult = Answer | SplitFerError
Item = TypeVar("Item")
T = TypeVar("T")
# For the last traces to reach their receiver when the server stops.
_TRACES_S = 0.3


@dataclass(frozen=True)
class ServedModel:
    """What answers here, and its limits: the handshake. ``served`` are all fingerprints,
    ``label_sets`` what the default tail answers, the default first."""

    schema_version: int
    server_version: str
    fingerprint: str
    labels: tuple[str, ...]
    tails: tuple[str, ...]
    codecs: tuple[str, ...]
    limits: Limits
    served: tuple[str, ...]
    label_sets: tuple[LabelSet, ...]


@dataclass(frozen=True)
class Inferred:
    """One result per payload, in order."""

    results: list[FaceResult]
    latency_ms: LatencyMs


@dataclass(frozen=True)
class Classified:
    """A picture's size after its EXIF rotation, and per face a box, a result, the score of its
    picture (0 to 1), and how far to go by the answer where there is one."""

    width: int
    height: int
    faces: list[tuple[Box, FaceResult]]
    latency_ms: LatencyMs
    qualities: tuple[float, ...]
    trust: tuple[Trust | None, ...]


class Place(NamedTuple):
    """Where a request's faces go, and whose labels are asked for."""

    weights: ServedWeights
    tail: ServedTail
    labels: LabelSet


class Service:
    """The server's one implementation; gRPC and REST are shells around it."""

    def __init__(self, config: CloudConfig, registry: Registry) -> None:
        self.config = config
        self.health = Health()
        self.access = Access(config)
        self.admission = Admission(self.access, self.health)
        self.tls = ServerTls(config)
        self.metrics = Metrics()
        self.metrics.registry.register(LiveMetrics(self.health, self.metrics, registry))
        self.metrics.registry.register(TlsMetrics(self.tls))
        self._tracing = open_tracing(config.otlp_endpoint, server_version())
        self.observer = Observer(self.metrics, self._tracing)
        self._registry = registry
        self._pictures = PictureReader(config)
        self._head = ServedHead(config)

    def start(self) -> None:
        """Begin to answer. Belongs to the event loop that it is called on."""
        self._registry.start(BatchObservers(self.metrics, self._tracing))
        self._head.start()

    async def close(self) -> None:
        """Stop now; what has no answer yet raises ``NotReady``."""
        self._pictures.close()
        await self._head.close()
        await self._registry.close()
        if self._tracing.on:
            # It waits for whoever receives the traces; a stop does not wait for it for long.
            closing = threading.Thread(target=self._tracing.close, name="traces", daemon=True)
            closing.start()
            await asyncio.to_thread(closing.join, _TRACES_S)

    @property
    def registry(self) -> Registry:
        """The weights that are served."""
        return self._registry

    @property
    def tails(self) -> list[ServedTail]:
        """All that are served."""
        return self._registry.tails

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
            limits=self.config.limits,
            served=self._registry.fingerprints,
            label_sets=served.label_sets(served.tail("")),
        )

    def admit(
        self, fingerprint: str, tail: str, deadline: Deadline, labels: LabelSet | None = None
    ) -> Place:
        """Where ``begin`` would take a face now; ``tail`` empty and ``labels`` None mean the
        defaults. It is cheap.

        Raises:
            ModelMismatch, DeadlineExceeded: see ``infer``.
            Overloaded, NotReady: see ``Batcher.admit``.
        """
        place = self._place(fingerprint, tail, deadline, labels)
        place.tail.admit(deadline)
        return place

    def begin(
        self,
        place: Place,
        payloads: Sequence[bytes],
        deadline: Deadline,
        done: Callable[[Inferred], None],
    ) -> PendingFaces[TailAnswer]:
        """``infer`` without waiting: ``done`` is told, later, unless the faces are withdrawn
        before. The caller counts the request with ``place.weights`` until either.

        Raises:
            PayloadTooLarge: see ``infer``.
        """
        start = time.perf_counter()
        self._bound(len(payloads))
        limits = self.config.limits
        size = sum(map(len, payloads))
        if size > limits.infer_message_bytes:
            raise PayloadTooLarge(
                f"{size} bytes of payloads; at most {limits.infer_message_bytes} in one message"
            )
        codec = place.weights.codec
        waiting = self._queued([_opened(one, codec) for one in payloads], place.tail, deadline)

        def settled() -> None:
            results, tail_ms = self._counted(faces.results, place.labels)
            done(Inferred(results, LatencyMs(tail=tail_ms, total=_since_ms(start))))

        faces = PendingFaces(waiting, deadline, settled)
        return faces

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
        place = self._place(fingerprint, tail, deadline, labels)
        inferred: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        with place.weights.request():
            faces = self.begin(place, payloads, deadline, partial(_answer_once, inferred))
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
        served = self._registry.weights(fingerprint)
        about(AnswerPath.CLOUD, served.fingerprint)
        served_tail, index = served.tail(tail), _rate_index(served, rate)
        place = Place(served, served_tail, served.label_set(served_tail, labels))
        latents = [Latent(one, index) for one in symbols]
        with served.request():
            results, tail_ms = await self._answer(latents, place, deadline)
        return Inferred(results, LatencyMs(tail=tail_ms, total=_since_ms(start)))

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
        served = self._registry.weights(fingerprint)
        about(AnswerPath.IMAGE, served.fingerprint)
        index, served_tail = _rate_index(served, rate), served.tail("")
        place = Place(served, served_tail, served.label_set(served_tail, labels))
        with served.request():
            waiting = [
                _submitted(
                    Crop(crop, served.head, served.weights.quantiser, index),
                    self._head.submit,
                    deadline,
                )
                for crop in crops
            ]
            latents = await gather_faces(waiting, deadline)
            head_ms = _since_ms(start)
            results, tail_ms = await self._answer(latents, place, deadline)
        latency_ms = LatencyMs(head=head_ms, tail=tail_ms, total=_since_ms(start))
        return Inferred(results, latency_ms)

    async def classify(
        self,
        picture: bytes,
        tail: str,
        deadline: Deadline,
        labels: LabelSet | None = None,
        prior: Prior | None = None,
    ) -> Classified:
        """The bytes of a JPEG, PNG or WebP -> its faces, largest first, and a result each. ``tail``
        empty, ``labels`` and ``prior`` None mean the defaults.

        Raises:
            ImageError: damaged, or a kind that is not read.
            PayloadTooLarge: too many bytes or pixels.
            ModelMismatch: no such tail, it does not answer these labels, or the weights do not say
                how common the classes were in training.
            Overloaded: too many pictures are waiting.
            DeadlineExceeded: it passed before the faces were found.
        """
        start = time.perf_counter()
        if len(picture) > self.config.limits.body_bytes:
            raise too_large(self.config.limits.body_bytes)
        served = self._registry.default
        about(AnswerPath.IMAGE, served.fingerprint)
        served_tail = served.tail(tail)
        place = Place(served, served_tail, served.label_set(served_tail, labels))
        balance = served.balance(place.labels, prior, self.config.prior)
        with served.request():
            self.metrics.pictures_in_work += 1
            try:
                async with asyncio.timeout(deadline.remaining_ms() / 1000):
                    read = await self._pictures.read(picture, served, deadline)
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed before the faces were found") from None
            finally:
                self.metrics.pictures_in_work -= 1
            self.metrics.picture_read(read.detect_ms, read.head_ms)
            results, tail_ms = await self._answer(read.latents, place, deadline)
        if balance is not None:
            results = [
                one if isinstance(one, SplitFerError) else one.balanced(balance) for one in results
            ]
        prior = Prior.NATURAL if balance is None else Prior.BALANCED
        shares = served.weights.manifest.shares(place.labels, prior)
        trust = tuple(
            None
            if isinstance(one, SplitFerError)
            else trust_in(one, quality, shares, self.config.uncertain_below)
            for one, quality in zip(results, read.qualities, strict=True)
        )
        latency_ms = LatencyMs(
            detect=read.detect_ms, head=read.head_ms, tail=tail_ms, total=_since_ms(start)
        )
        faces = list(zip(read.boxes, results, strict=True))
        return Classified(read.width, read.height, faces, latency_ms, read.qualities, trust)

    async def _answer(
        self, faces: Sequence[Face | SplitFerError], place: Place, deadline: Deadline
    ) -> tuple[list[FaceResult], float | None]:
        """A result per face, and the time of the tail's run (of the slowest, where several)."""
        settled = await gather_faces(self._queued(faces, place.tail, deadline), deadline)
        return self._counted(settled, place.labels)

    def _queued(
        self, faces: Sequence[Face | SplitFerError], tail: ServedTail, deadline: Deadline
    ) -> list[asyncio.Future[TailAnswer] | SplitFerError]:
        self._tracing.faces_queued(faces)
        waiting: list[asyncio.Future[TailAnswer] | SplitFerError] = []
        for face in faces:
            if isinstance(face, SplitFerError):
                waiting.append(face)
            else:
                self.metrics.latents[tail.rates.names[face.rate]] += 1
                waiting.append(_submitted(face, tail.submit, deadline))
        return waiting

    def _counted(
        self, settled: Sequence[TailAnswer | SplitFerError], labels: LabelSet
    ) -> tuple[list[FaceResult], float | None]:
        results: list[FaceResult] = []
        times: list[float] = []
        for result in settled:
            if isinstance(result, TailAnswer):
                times.append(result.tail_ms)
                results.append(result.answers[labels])
                self.metrics.faces["ok"] += 1
            else:
                results.append(result)
                self.metrics.faces[result.code] += 1
        return results, max(times, default=None)

    def _place(
        self, fingerprint: str, tail: str, deadline: Deadline, labels: LabelSet | None
    ) -> Place:
        weights = self._registry.weights(fingerprint)
        about(AnswerPath.CLOUD, weights.fingerprint)
        served_tail = weights.tail(tail)
        place = Place(weights, served_tail, weights.label_set(served_tail, labels))
        if deadline.expired():
            raise DeadlineExceeded("the deadline passed before the request was read")
        return place

    def _bound(self, faces: int) -> None:
        most = self.config.limits.faces_per_frame
        if faces > most:
            raise PayloadTooLarge(f"{faces} faces in one frame; at most {most}")


def too_large(most_bytes: int) -> PayloadTooLarge:
    """The error of a body over its limit."""
    return PayloadTooLarge(f"the body is larger than {most_bytes} bytes")


def _opened(payload: bytes, codec: PayloadCodec) -> Payload | SplitFerError:
    try:
        return codec.open(payload)
    except SplitFerError as error:
        return error


def _answer_once(waiter: asyncio.Future[Inferred], inferred: Inferred) -> None:
    if not waiter.done():  # its caller may have gone
        waiter.set_result(inferred)


def _rate_index(served: ServedWeights, rate: str) -> int:
    try:
        return served.weights.rate_index(rate)
    except ConfigError:
        names = ", ".join(rate.name for rate in served.weights.manifest.rates)
        raise MalformedPayload(f"no rate {rate[:40]!r} here; there are {names}") from None


def _submitted(
    item: Item, submit: Callable[[Item, Deadline], asyncio.Future[T]], deadline: Deadline
) -> asyncio.Future[T] | SplitFerError:
    try:
        return submit(item, deadline)
    except ServeError as error:
        return error


def _since_ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
