"""What is refused as it is read; the rest of the stream is in the integration tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission, Caller
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.health import Health, Phase
from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api import stream as infer_stream
from splitfer.cloud_server.grpc_api.stream import GrpcWire
from splitfer.cloud_server.service.frame_stream import FrameStream, StreamBounds
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.tracing import NoTracing
from splitfer.shared.contracts import Answer, LatencyMs
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import (
    DeadlineExceeded,
    MalformedPayload,
    ModelMismatch,
    Overloaded,
    PayloadTooLarge,
)
from splitfer.shared.labels import LabelSet
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

DAMAGED = MalformedPayload("wrong checksum")
ANSWER = Answer((1.0, 0, 0, 0, 0, 0, 0), "1234/cloud", LabelSet.FER2013)
# Of tails that have no answer to every face.
RESULTS: dict[str, list[Any]] = {
    "none": [],
    "garbled": [DAMAGED, DAMAGED],
    "half": [DAMAGED, ANSWER],
    "late": [DeadlineExceeded("too late")],
}


class PlayedCall:
    """A caller that sends ``messages`` and then nothing more."""

    def __init__(self, messages: list[pb.InferStreamRequest]) -> None:
        self.asked = messages
        self.written: dict[int, pb.InferStreamResponse] = {}

    async def read(self) -> Any:
        return self.asked.pop(0) if self.asked else grpc.aio.EOF

    async def write(self, answer: pb.InferStreamResponse) -> None:
        self.written[answer.id] = answer


def messages(*tails: str) -> list[pb.InferStreamRequest]:
    return [
        pb.InferStreamRequest(id=number, request=pb.InferRequest(tail=tail))
        for number, tail in enumerate(tails)
    ]


class PlayedService:
    """Refuses the tails "busy" and "unknown" as they are asked, and "huge" as it begins; answers
    others soon."""

    def __init__(self, metrics: Metrics) -> None:
        self.observer = Observer(metrics, NoTracing())
        self.budget = ByteBudget(2**20)
        self.health, self.weights = Health(), InFlight()
        self.health.phase = Phase.SERVING
        self.begun: list[str] = []
        self.third = asyncio.Event()
        self.withdrawn = 0
        self.answers = True

    def check_capacity(self, fingerprint: str, tail: str, _: Deadline, __: LabelSet | None) -> Any:
        if tail == "busy":
            raise Overloaded("40 faces come first")
        if tail == "unknown":
            raise ModelMismatch("no such tail")
        return SimpleNamespace(tail=tail, weights=SimpleNamespace(request=lambda: self.weights))

    def start_infer(
        self, place: Any, _: object, __: Deadline, done: Callable[[Inferred], None]
    ) -> Any:
        if place.tail == "huge":
            raise PayloadTooLarge("9 faces in one frame")
        self.begun.append(place.tail)
        if len(self.begun) == 3:
            self.third.set()
        if self.answers:
            results = RESULTS.get(place.tail, [ANSWER])
            asyncio.get_running_loop().call_soon(done, Inferred(results, LatencyMs()))
        return self

    def withdraw(self) -> None:
        self.withdrawn += 1


def stream(service: PlayedService, call: PlayedCall, most: int) -> FrameStream[Any]:
    played: Any = service
    context: Any = call
    caller = Admission(Access(CloudConfig()), service.health).caller(None, Scope.INFER, None)
    bounds, wire = StreamBounds(most, 150), GrpcWire(context)
    return FrameStream(played, caller, service.observer, service.budget, bounds, wire)


def test_a_message_that_has_no_time_is_refused_before_anything_is_done_for_it() -> None:
    metrics = Metrics()

    async def served() -> tuple[PlayedService, PlayedCall]:
        service = PlayedService(metrics)
        call = PlayedCall(messages("busy", "idle", "busy", "huge", "idle"))
        await stream(service, call, most=2).run()
        return service, call

    service, call = asyncio.run(served())
    assert service.begun == ["idle", "idle"]
    codes = {number: answer.error.code for number, answer in call.written.items()}
    assert codes == {0: "overloaded", 1: "", 2: "overloaded", 3: "too_large", 4: ""}
    assert all(call.written[number].error.retryable for number in (0, 2))
    assert call.written[4].response.results[0].answer.model == ANSWER.model
    assert "requests 5 (2 overloaded, 2 ok, 1 too_large)" in metrics.summary()
    assert service.health.in_flight == service.weights.count == service.budget.held_bytes == 0


def test_an_answer_that_cannot_be_said_is_an_error_of_its_message_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such number")

    async def served() -> tuple[PlayedService, PlayedCall]:
        service, call = PlayedService(Metrics()), PlayedCall(messages("a", "b"))
        await stream(service, call, most=2).run()
        return service, call

    monkeypatch.setattr(infer_stream, "write_infer_response", fail)
    service, call = asyncio.run(served())
    assert [call.written[number].error.code for number in (0, 1)] == ["internal"] * 2
    assert service.health.in_flight == service.weights.count == service.budget.held_bytes == 0


def test_a_caller_that_hangs_up_is_counted_for_each_message_that_was_read() -> None:
    metrics = Metrics()

    async def served() -> PlayedService:
        service = PlayedService(metrics)
        service.answers = False
        serving = asyncio.create_task(
            stream(service, PlayedCall(messages("a", "b", "c")), most=3).run()
        )
        await service.third.wait()
        assert service.budget.held_bytes > 0
        serving.cancel()
        await asyncio.wait([serving])
        return service

    service = asyncio.run(served())
    assert service.withdrawn == 3
    assert service.health.in_flight == service.weights.count == service.budget.held_bytes == 0
    assert "requests 3 (3 hung_up)" in metrics.summary()


WORTHLESS = ["huge", "unknown", "none", "garbled"]


def test_messages_that_bring_nothing_wait_for_turns_of_all_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paid = list[bool]()

    async def counted(_: Caller, at_fault: bool = True) -> None:
        paid.append(at_fault)

    monkeypatch.setattr(Caller, "pay_for_nothing", counted)
    tails = ["busy", "late", "half", "a", *WORTHLESS, "a", "a"]
    call = PlayedCall(messages(*tails))

    async def served() -> None:
        await stream(PlayedService(Metrics()), call, most=1).run()

    asyncio.run(served())
    assert paid == [False, False, True, True, True, True]
    assert len(call.written) == len(tails)
