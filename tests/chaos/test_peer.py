"""The server is there, and is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.net.forwarder import Forwarder
from splitfer.shared.contracts import SCHEMA_VERSION, AnswerPath, Reason
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from tests.chaos.conftest import FAULT_S
from tests.chaos.faces import Picture
from tests.chaos.played import PlayedServer
from tests.chaos.watch import BROKEN, Watch
from tests.processes import Server


@pytest.fixture
def peer(watch: Watch, forwarder: Forwarder, pictures: list[Picture]) -> Iterator[PlayedServer]:
    """Stands behind the forwarder, in the server's place."""
    with PlayedServer(pictures) as peer:
        forwarder.target = peer.target
        yield peer


def switch(watch: Watch, forwarder: Forwarder, server: Server) -> None:
    """The real server is behind the link again."""
    forwarder.target = ("127.0.0.1", server.port)
    forwarder.reset()
    watch.back()


@pytest.mark.parametrize(
    "wrong",
    [
        {"fingerprint": "0123456789abcdef"},
        {"schema_version": SCHEMA_VERSION - 1},
        {"labels": ["happy", "sad"]},
        {"label_sets": ["people"]},
    ],
    ids=["weights", "schema", "labels", "label sets"],
)
def test_another_model(
    watch: Watch, forwarder: Forwarder, server: Server, peer: PlayedServer, wrong: dict[str, object]
) -> None:
    for name in wrong:
        peer.played.model.ClearField(name)
    peer.played.model.MergeFrom(pb.Model(**wrong))
    forwarder.refuse()
    forwarder.reset()
    watch.until_reason(Reason.BREAKER_OPEN)
    forwarder.accept()
    watch.until_reason(Reason.MODEL_MISMATCH)
    watch.for_s(FAULT_S)
    assert peer.played.calls == 0, "nothing is sent to it"
    switch(watch, forwarder, server)
    assert watch.reasons() <= BROKEN | {Reason.MODEL_MISMATCH}


def test_other_weights_behind_the_same_address(
    watch: Watch, forwarder: Forwarder, server: Server, peer: PlayedServer
) -> None:
    """gRPC connects again by itself, without a handshake of ours: the call must be refused."""
    peer.played.model.fingerprint = "0123456789abcdef"
    forwarder.reset()
    watch.until_reason(Reason.MODEL_MISMATCH)
    switch(watch, forwarder, server)
    assert watch.reasons() <= BROKEN | {Reason.MODEL_MISMATCH}


class Previous:
    """Gives to each call the reply of the call before: one came twice, and all that follow slip."""

    def __init__(self) -> None:
        self._before = pb.InferResponse()

    def __call__(self, reply: pb.InferResponse) -> pb.InferResponse:
        before, self._before = self._before, reply
        return before


def reordered(reply: pb.InferResponse) -> pb.InferResponse:
    return pb.InferResponse(results=reversed(reply.results), time=reply.time)


def duplicated(reply: pb.InferResponse) -> pb.InferResponse:
    return pb.InferResponse(results=[*reply.results, *reply.results], time=reply.time)


def flipped(reply: pb.InferResponse) -> pb.InferResponse:
    """Two probabilities changed places: the sum is still one."""
    for result in reply.results:
        first, second, *rest = result.answer.probabilities
        result.answer.probabilities[:] = [second, first, *rest]
    return reply


def renamed(reply: pb.InferResponse) -> pb.InferResponse:
    for result in reply.results:
        result.answer.model = result.answer.model.replace("/", "_")
    return reply


@pytest.mark.parametrize("spoil", [Previous(), reordered, duplicated, flipped, renamed])
def test_replies_of_other_faces_or_damaged_ones_are_not_believed(
    watch: Watch, forwarder: Forwarder, server: Server, peer: PlayedServer, spoil: object
) -> None:
    forwarder.reset()
    watch.until_cloud(3)
    peer.played.spoil = spoil  # type: ignore[assignment]
    watch.until_reason(Reason.SERVER_ERROR)
    watch.for_s(FAULT_S)
    if spoil is not reordered:  # one face alone cannot be in the wrong order
        watch.until(lambda: watch.answers[-1].path is AnswerPath.LOCAL, "a local answer")
    switch(watch, forwarder, server)
    assert watch.reasons() <= BROKEN | {Reason.SERVER_ERROR}


def test_a_nonsense_time_is_not_believed(
    watch: Watch, forwarder: Forwarder, server: Server, peer: PlayedServer
) -> None:
    """A damaged reply can carry any number as the server's own time."""

    def spoil(reply: pb.InferResponse) -> pb.InferResponse:
        reply.time.total_ms, reply.time.tail_ms = float("nan"), float("inf")
        return reply

    forwarder.reset()
    watch.until_cloud(1)
    peer.played.spoil = spoil
    watch.for_s(FAULT_S)
    for answer in watch.answers:
        for milliseconds in (answer.latency_ms.link, answer.latency_ms.tail):
            assert milliseconds is None or 0 <= milliseconds < 60_000
    switch(watch, forwarder, server)
