"""What the server does, free of any protocol: values in, values out.

    infer:     payloads -> latents -> tail -> results
    classify:  picture -> faces -> crops -> head -> latents -> tail -> results

A face gets an answer or an error of its own; a request fails as a whole only where it is wrong as
a whole. "No face" is a result.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cloud_server.auth import Access
from cloud_server.config import CloudConfig
from cloud_server.health import Health
from cloud_server.metrics import Metrics
from cloud_server.picture_reader import PictureReader
from cloud_server.registry import Registry
from cloud_server.tail import ServedTail, TailAnswer
from shared.codec.payload import PayloadCodec
from shared.contracts import SCHEMA_VERSION, Answer, Box, LatencyMs, Limits
from shared.deadline import Deadline
from shared.errors import (
    DeadlineExceeded,
    ModelMismatch,
    PayloadTooLarge,
    ServeError,
    SplitFerError,
)
from shared.labels import LABELS
from shared.latent import Latent

FaceResult = Answer | SplitFerError


@dataclass(frozen=True)
class ServedModel:
    """What answers here, and its limits: the handshake. ``served`` are all fingerprints."""

    schema_version: int
    server_version: str
    fingerprint: str
    labels: tuple[str, ...]
    tails: tuple[str, ...]
    codecs: tuple[str, ...]
    limits: Limits
    served: tuple[str, ...]


@dataclass(frozen=True)
class Inferred:
    """One result per payload, in order."""

    results: list[FaceResult]
    latency_ms: LatencyMs


@dataclass(frozen=True)
class Classified:
    """A picture's size after its EXIF rotation, and a box and a result per face."""

    width: int
    height: int
    faces: list[tuple[Box, FaceResult]]
    latency_ms: LatencyMs


class Service:
    """The server's one implementation; gRPC and REST are shells around it."""

    def __init__(self, config: CloudConfig, registry: Registry) -> None:
        self.config = config
        self.health = Health()
        self.access = Access(config)
        self.metrics = Metrics()
        self._registry = registry
        self._pictures = PictureReader(config)

    def start(self) -> None:
        """Begin to answer. Belongs to the event loop that it is called on."""
        self._registry.start()

    async def close(self) -> None:
        """Stop now; what has no answer yet raises ``NotReady``."""
        self._pictures.close()
        await self._registry.close()

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
        )

    async def infer(
        self, fingerprint: str, tail: str, payloads: Sequence[bytes], deadline: Deadline
    ) -> Inferred:
        """One frame's payloads -> a result each; ``tail`` empty means the default.

        Raises:
            ModelMismatch: other weights made the latents, or no such tail.
            PayloadTooLarge: too many faces, or too many bytes together.
            DeadlineExceeded: nothing was left on arrival.
        """
        start = time.perf_counter()
        limits = self.config.limits
        if len(payloads) > limits.faces_per_frame:
            raise PayloadTooLarge(
                f"{len(payloads)} faces in one frame; at most {limits.faces_per_frame}"
            )
        size = sum(map(len, payloads))
        if size > limits.infer_message_bytes:
            raise PayloadTooLarge(
                f"{size} bytes of payloads; at most {limits.infer_message_bytes} in one message"
            )
        served = self._registry.weights(fingerprint)
        served_tail = served.tail(tail)
        if deadline.expired():
            raise DeadlineExceeded("the deadline passed before the request was read")
        latents = [_decoded(payload, served.codec) for payload in payloads]
        results, tail_ms = await self._answer(latents, served_tail, deadline)
        return Inferred(results, LatencyMs(tail=tail_ms, total=_since_ms(start)))

    async def classify(self, picture: bytes, tail: str, deadline: Deadline) -> Classified:
        """The bytes of a JPEG, PNG or WebP -> its faces, largest first, and a result each.

        Raises:
            ImageError: damaged, or a kind that is not read.
            PayloadTooLarge: too many bytes or pixels.
            ModelMismatch: no such tail.
            Overloaded: too many pictures are waiting.
            DeadlineExceeded: it passed before the faces were found.
        """
        start = time.perf_counter()
        if len(picture) > self.config.limits.body_bytes:
            raise too_large(self.config.limits.body_bytes)
        served = self._registry.default
        served_tail = served.tail(tail)
        try:
            async with asyncio.timeout(deadline.remaining_ms() / 1000):
                read = await self._pictures.read(picture, served, deadline)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the faces were found") from None
        results, tail_ms = await self._answer(read.latents, served_tail, deadline)
        latency_ms = LatencyMs(
            detect=read.detect_ms, head=read.head_ms, tail=tail_ms, total=_since_ms(start)
        )
        faces = list(zip(read.boxes, results, strict=True))
        return Classified(read.width, read.height, faces, latency_ms)

    async def _answer(
        self, latents: Sequence[Latent | SplitFerError], tail: ServedTail, deadline: Deadline
    ) -> tuple[list[FaceResult], float | None]:
        """A result per latent, and the time of the tail's run (of the slowest, where several)."""
        self.metrics.latents.update(
            tail.rates.names[latent.rate] for latent in latents if isinstance(latent, Latent)
        )
        waiting = [_submitted(latent, tail, deadline) for latent in latents]
        futures = [entry for entry in waiting if isinstance(entry, asyncio.Future)]
        try:
            if futures:
                await asyncio.wait(futures, timeout=max(0.0, deadline.remaining_ms()) / 1000)
        finally:
            for future in futures:
                future.cancel()  # withdraws what is late, or whose caller has gone
        results: list[FaceResult] = []
        times: list[float] = []
        for entry in waiting:
            result = _settled(entry) if isinstance(entry, asyncio.Future) else entry
            if isinstance(result, TailAnswer):
                times.append(result.tail_ms)
                results.append(result.answer)
            else:
                results.append(result)
        for face in results:
            self.metrics.faces[face.code if isinstance(face, SplitFerError) else "ok"] += 1
        return results, max(times, default=None)


def too_large(most_bytes: int) -> PayloadTooLarge:
    """The error of a body over its limit."""
    return PayloadTooLarge(f"the body is larger than {most_bytes} bytes")


def server_version() -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("splitfer")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"  # run from a checkout that was not installed


def _decoded(payload: bytes, codec: PayloadCodec) -> Latent | SplitFerError:
    try:
        return codec.decode(payload)
    except SplitFerError as error:
        return error


def _submitted(
    latent: Latent | SplitFerError, tail: ServedTail, deadline: Deadline
) -> asyncio.Future[TailAnswer] | SplitFerError:
    if isinstance(latent, SplitFerError):
        return latent
    try:
        return tail.submit(latent, deadline)
    except ServeError as error:
        return error


def _settled(future: asyncio.Future[TailAnswer]) -> TailAnswer | SplitFerError:
    if future.cancelled():
        return DeadlineExceeded("the deadline passed before the network answered")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, SplitFerError):
        return error
    raise error


def _since_ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
