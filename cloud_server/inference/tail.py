"""One tail being served: faces in, answers out, batched across requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.batch_observer import BatchObserver, NoWatch
from splitfer.cloud_server.inference.batch_time import BatchTime
from splitfer.cloud_server.inference.batcher import Batcher
from splitfer.cloud_server.inference.face import Crop, Face
from splitfer.cloud_server.inference.time_slice import take_turns
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import Payload, PayloadCodec
from splitfer.shared.codec.quantiser import ZERO_SYMBOL
from splitfer.shared.contracts import CROP_SIDE, LATENT_SHAPE, Answer
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import CodecError, NotReady, Overloaded
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights.runtime import Head, Tail

# Sizes that are timed before the first face comes, and how long a run may take for a larger one.
_TRIED_SIZES, _LONGEST_TRY_S = (1, 4, 16), 0.25
# On one core, runs and the event loop take turns: long ones, so that what arrives is handled a few
# at a time, with warm caches. Where so many messages are refused for each face that is taken, the
# loop goes first: their refusals wait, and each message has to be read before its refusal.
_SLICE_MS, _GIVING_WAY_SLICE_MS, _GIVING_WAY_NICE, _CROWD = 15.0, 3.0, 5, 4


@dataclass(frozen=True, eq=False)
class RateTable:
    """What a tail needs to know of each rate: ``names`` as ``<fingerprint>/<rate>``, ``steps``
    float32 ``(R, 8)`` and ``temperatures`` float32 ``(R,)`` by label set."""

    names: tuple[str, ...]
    steps: NDArray[np.float32]
    temperatures: Mapping[LabelSet, NDArray[np.float32]]


@dataclass(frozen=True)
class TailAnswer:
    """An answer in each label set, and how long the run took that made them (reading counted,
    queueing not); ``head_ms`` is the head's part before it, where it ran too."""

    answers: Mapping[LabelSet, Answer]
    tail_ms: float
    head_ms: float | None = None


class ServedTail:
    """A tail with its batcher, one run at a time. ``model`` is ``<fingerprint>/<tail id>``.

    Faces of every rate share a batch: each brings its own steps and temperature. So do those that
    are asked for different label sets: a run gives all. ``codec`` reads payloads in the run's
    thread, too: the event loop has enough to do.

    A cloud tail takes payloads and latents. The local one takes crops, and its ``head`` runs before
    it: where the picture itself is there no latent has to be sent, so none is made.
    """

    def __init__(
        self,
        model: str,
        tail: Tail,
        codec: PayloadCodec,
        rates: RateTable,
        config: CloudConfig,
        head: Head | None = None,
    ) -> None:
        self.model = model
        self._tail: Tail | None = tail
        self._head = head
        self._codec = codec
        self.rates = rates
        # ONNX Runtime and the codec release the GIL, so the event loop goes on meanwhile.
        self._thread = ThreadPoolExecutor(1, "tail", take_turns, (_SLICE_MS,))
        # A thread that has stepped back may not come forward again, so there are two: one at work.
        turns = (_GIVING_WAY_SLICE_MS, _GIVING_WAY_NICE)
        self._giving_way = ThreadPoolExecutor(1, "tail giving way", take_turns, turns)
        self._refused = 0
        self._times = BatchTime()
        self._batcher: Batcher[Face, TailAnswer] = Batcher(
            self._run_in_thread,
            batch_max=config.batch_max,
            queue_max=config.queue_max,
            wait_ms=config.batch_wait_ms,
            goal_ms=config.batch_goal_ms,
            times=self._times,
            on_batch=self._taken,
        )
        self._watch: BatchObserver = NoWatch()

    def warm_up(self) -> None:
        """Run the network, and learn what runs take: the first callers shall not find out. Call
        it before ``start``, on any thread."""
        blank: Face = Latent(np.full(LATENT_SHAPE, ZERO_SYMBOL, np.uint8), 0)
        if self._head is not None:
            blank = Crop(np.zeros((CROP_SIDE, CROP_SIDE), np.uint8))
        self._run([blank])  # the first run of all is slower; of a larger size hardly
        for size in _TRIED_SIZES:
            start_s = time.perf_counter()
            self._run([blank] * size)
            took_s = time.perf_counter() - start_s
            self._times.learn(size, took_s)
            if took_s > _LONGEST_TRY_S:
                break

    def start(self, watch: BatchObserver | None = None) -> None:
        """Begin to answer; ``watch`` observes the batches."""
        self._watch = watch or self._watch
        self._batcher.start()

    def submit(self, face: Face, deadline: Deadline) -> asyncio.Future[TailAnswer]:
        """Queue one face; see ``Batcher.submit`` for what is raised. The future of a payload that
        cannot be read raises ``CodecError``."""
        return self._batcher.submit(face, deadline)

    def check_capacity(self, deadline: Deadline) -> None:
        """See ``Batcher.check_capacity``."""
        try:
            self._batcher.check_capacity(deadline)
        except Overloaded:
            self._refused += 1
            raise

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """The label sets that the tail answers."""
        return tuple(self.rates.temperatures)

    @property
    def batch_max(self) -> int:
        """How many faces one run gets at the most, now."""
        return self._batcher.batch_max

    @property
    def waiting(self) -> int:
        """How many faces are queued."""
        return self._batcher.waiting

    @property
    def oldest_ms(self) -> float:
        """How long the oldest queued face has waited."""
        return self._batcher.oldest_ms

    async def close(self) -> None:
        """Stop; what has no answer yet raises ``NotReady``."""
        await self._batcher.close()
        for thread in (self._thread, self._giving_way):
            thread.shutdown(wait=False, cancel_futures=True)
        # This object and its batcher hold each other: the network's memory would wait for the
        # garbage collector.
        self._tail = self._head = None

    def _taken(self, faces: list[Face], ages_ms: list[float]) -> None:
        self._watch.batch_taken(self.model, faces, ages_ms)

    async def _run_in_thread(self, faces: list[Face]) -> list[TailAnswer | CodecError]:
        crowded, self._refused = self._refused > _CROWD * len(faces), 0
        thread = self._giving_way if crowded else self._thread
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(thread, self._run, faces)
        answers = [result for result in results if isinstance(result, TailAnswer)]
        if answers:
            self._watch.batch_ran(self.model, faces, answers[0].tail_ms)
        return results

    def _run(self, faces: Sequence[Face]) -> list[TailAnswer | CodecError]:
        start = time.perf_counter()
        read = [self._read(face) for face in faces]
        inputs = [one for one in read if not isinstance(one, CodecError)]
        answers = iter(self._answer(inputs, start) if inputs else ())
        return [one if isinstance(one, CodecError) else next(answers) for one in read]

    def _read(self, face: Face) -> Latent | Crop | CodecError:
        try:
            return self._codec.read(face) if isinstance(face, Payload) else face
        except CodecError as error:
            return error

    def _answer(self, inputs: Sequence[Latent | Crop], start: float) -> list[TailAnswer]:
        tail, head = self._tail, self._head
        if tail is None:
            raise NotReady("the server is stopping")
        batch = np.stack([one.pixels if isinstance(one, Crop) else one.symbols for one in inputs])
        head_ms = None
        if head is not None:
            features, _ = head.run(batch)
            head_ms, start = _since_ms(start), time.perf_counter()
        each = [one.rate for one in inputs]
        temperatures = {one: of[each] for one, of in self.rates.temperatures.items()}
        found = tail.run_all(
            batch if head is None else features, self.rates.steps[each], temperatures
        )
        if not all(np.isfinite(rows).all() for rows in found.values()):
            raise ValueError("the tail gave probabilities that are not numbers")
        tail_ms = _since_ms(start)
        by_label_set = {
            one: [Answer(tuple(row), self.model, one) for row in rows.tolist()]
            for one, rows in found.items()
        }
        return [
            TailAnswer(
                {one: answers[place] for one, answers in by_label_set.items()}, tail_ms, head_ms
            )
            for place in range(len(inputs))
        ]


def _since_ms(start_s: float) -> float:
    return (time.perf_counter() - start_s) * 1000
