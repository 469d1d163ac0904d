"""Faces to a tail's queue and back: each is counted, traced, and gets a result of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.inference.face import Crop, Face
from splitfer.cloud_server.inference.pending_faces import PendingFaces, gather_faces, submitted
from splitfer.cloud_server.inference.tail import ServedTail, TailAnswer
from splitfer.cloud_server.service.results import FaceResult
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.tracing import NoTracing
from splitfer.cloud_server.weights.target import Target
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import SplitFerError
from splitfer.shared.labels import LabelSet


@dataclass(frozen=True)
class Answered:
    """A result per face, in order, and the times of the tail's run and of the head's part before
    it: of the slowest, where several; None where there was none."""

    results: list[FaceResult]
    tail_ms: float | None
    head_ms: float | None = None


class FaceQueue:
    """The way of every face, whatever it came as. Belongs to one event loop."""

    def __init__(self, metrics: Metrics, tracing: NoTracing) -> None:
        self._metrics, self._tracing = metrics, tracing

    def start(
        self,
        faces: Sequence[Face | SplitFerError],
        target: Target,
        deadline: Deadline,
        done: Callable[[Answered], None],
    ) -> PendingFaces[TailAnswer]:
        """Queue the faces; ``done`` is called with the results, unless they are withdrawn."""

        def settled() -> None:
            done(self._counted(pending.results, target.labels))

        pending = PendingFaces(self._queued(faces, target.tail, deadline), deadline, settled)
        return pending

    async def answer(
        self, faces: Sequence[Face | SplitFerError], target: Target, deadline: Deadline
    ) -> Answered:
        """Queue them, and wait; cancelled, they are withdrawn."""
        settled = await gather_faces(self._queued(faces, target.tail, deadline), deadline)
        return self._counted(settled, target.labels)

    def _queued(
        self, faces: Sequence[Face | SplitFerError], tail: ServedTail, deadline: Deadline
    ) -> list[asyncio.Future[TailAnswer] | SplitFerError]:
        self._tracing.faces_queued(faces)
        waiting: list[asyncio.Future[TailAnswer] | SplitFerError] = []
        for face in faces:
            if isinstance(face, SplitFerError):
                waiting.append(face)
            else:
                if not isinstance(face, Crop):
                    self._metrics.latents[tail.rates.names[face.rate]] += 1
                waiting.append(submitted(face, tail.submit, deadline))
        queued = sum(not isinstance(one, SplitFerError) for one in waiting)
        current_account().charge_faces(queued)
        return waiting

    def _counted(self, settled: Sequence[TailAnswer | SplitFerError], labels: LabelSet) -> Answered:
        results: list[FaceResult] = []
        times: list[float] = []
        head_times: list[float] = []
        for result in settled:
            if isinstance(result, TailAnswer):
                times.append(result.tail_ms)
                if result.head_ms is not None:
                    head_times.append(result.head_ms)
                results.append(result.answers[labels])
                self._metrics.faces["ok"] += 1
            else:
                results.append(result)
                self._metrics.faces[result.code] += 1
        return Answered(results, max(times, default=None), max(head_times, default=None))
