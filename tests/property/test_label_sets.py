"""Faces that are asked for different label sets share batches, and notice nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.server.parts import Parts
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import Answer
from splitfer.shared.deadline import Deadline
from splitfer.shared.labels import LabelSet

SYMBOLS = np.random.default_rng(3).integers(113, 144, (4, 8, 28, 28), dtype=np.uint8)
CODEC = PayloadCodec(None, 3)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from((None, *LabelSet)),
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=5,
)


class Asked:
    """A service on a loop of its own, and how many faces each run of its tail had."""

    def __init__(self, folder: Path) -> None:
        config = CloudConfig(weights=(folder,), batch_max=32, picture_threads=1)
        registry = Registry.load(config)
        self.batches: list[int] = []
        tail = registry.default.tail("")
        taken = tail._watch

        class Watch(type(taken)):  # type: ignore[misc]
            def batch_taken(_, model: str, faces: list[object], ages_ms: list[float]) -> None:
                self.batches.append(len(faces))

        self._runner = asyncio.Runner()
        self.parts = Parts(config, registry)
        self.service = self.parts.service

        async def start() -> None:
            self.parts.start()
            tail._watch = Watch()

        self._runner.run(start())

    def answers(self, *requests: tuple[LabelSet | None, list[bytes]]) -> list[list[Answer]]:
        """Each request's, all asked at once."""

        async def ask() -> list[list[Answer]]:
            fingerprint = self.service.model().fingerprint
            found = await asyncio.gather(
                *(
                    self.service.infer(fingerprint, "", payloads, Deadline.after_ms(60_000), labels)
                    for labels, payloads in requests
                )
            )
            return [[one for one in got.results if isinstance(one, Answer)] for got in found]

        return self._runner.run(ask())

    def close(self) -> None:
        self._runner.run(self.parts.close())
        self._runner.close()


@pytest.fixture(scope="module")
def asked(crowd_weights_folder: Path) -> Iterator[Asked]:
    asked = Asked(crowd_weights_folder)
    yield asked
    asked.close()


@settings(max_examples=25)
@given(REQUESTS)
def test_each_face_is_told_what_it_would_be_told_alone(
    asked: Asked, requests: list[tuple[LabelSet | None, list[tuple[int, int]]]]
) -> None:
    encoded = [
        (labels, [CODEC.encode(Latent(SYMBOLS[face], rate)) for face, rate in faces])
        for labels, faces in requests
    ]
    asked.batches.clear()
    together = asked.answers(*encoded)
    assert len(asked.batches) == 1, "one batch, whatever was asked for"
    for (labels, payloads), answers in zip(encoded, together, strict=True):
        assert len(answers) == len(payloads)
        for payload, answer in zip(payloads, answers, strict=True):
            ((alone,),) = asked.answers((labels, [payload]))
            assert answer.labels is alone.labels is (labels or LabelSet.CROWD)
            np.testing.assert_allclose(answer.probabilities, alone.probabilities, atol=1e-5)
