"""What is refused as it is read; the rest of the stream is in the integration tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc

from cloud_server.allowance import Allowance, CallerLimits
from cloud_server.health import Health, Phase
from cloud_server.infer_stream import Infer, InferStream
from cloud_server.metrics import Metrics
from cloud_server.observer import Observer
from cloud_server.tracing import NoTracing
from shared.deadline import Deadline
from shared.errors import Overloaded
from shared.stubs.splitfer.v1 import splitfer_pb2 as pb


class PlayedCall:
    """A caller that sends ``messages`` and then nothing more."""

    def __init__(self, messages: list[pb.InferStreamRequest]) -> None:
        self._messages = messages
        self.written: dict[int, pb.InferStreamResponse] = {}

    async def read(self) -> Any:
        return self._messages.pop(0) if self._messages else grpc.aio.EOF

    async def write(self, answer: pb.InferStreamResponse) -> None:
        self.written[answer.id] = answer


def messages(*tails: str) -> list[pb.InferStreamRequest]:
    return [
        pb.InferStreamRequest(id=number, request=pb.InferRequest(tail=tail))
        for number, tail in enumerate(tails)
    ]


def stream(
    metrics: Metrics, call: PlayedCall, infer: Infer, admit: Callable[..., None], most: int
) -> InferStream:
    health = Health()
    health.phase = Phase.SERVING
    service: Any = SimpleNamespace(
        observer=Observer(metrics, NoTracing()), health=health, admit=admit,
        config=SimpleNamespace(deadline_ms=150),
    )  # fmt: skip
    context: Any = call
    return InferStream(service, infer, context, Allowance(CallerLimits()), most)


def test_a_message_that_has_no_time_is_refused_before_anything_is_done_for_it() -> None:
    metrics = Metrics()
    asked: list[str] = []

    def admit(fingerprint: str, tail: str, deadline: Deadline) -> None:
        if tail == "busy":
            raise Overloaded("40 faces come first")

    async def infer(request: pb.InferRequest, _: Deadline) -> pb.InferResponse:
        asked.append(request.tail)
        return pb.InferResponse()

    async def served() -> PlayedCall:
        call = PlayedCall(messages("busy", "idle", "busy", "busy", "idle"))
        await stream(metrics, call, infer, admit, most=2).run()
        return call

    call = asyncio.run(served())
    assert asked == ["idle", "idle"]
    codes = {number: answer.error.code for number, answer in call.written.items()}
    assert codes == {0: "overloaded", 1: "", 2: "overloaded", 3: "overloaded", 4: ""}
    assert all(call.written[number].error.retryable for number in (0, 2, 3))
    assert "requests 5 (3 overloaded, 2 ok)" in metrics.summary()


def test_a_caller_that_hangs_up_is_counted_for_each_message_that_was_read() -> None:
    metrics = Metrics()
    begun = asyncio.Event()

    async def infer(_: pb.InferRequest, __: Deadline) -> pb.InferResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def served() -> None:
        call = PlayedCall(messages("a", "b", "c"))
        serving = asyncio.create_task(stream(metrics, call, infer, lambda *_: None, most=3).run())
        await begun.wait()
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(served())
    assert "requests 3 (3 hung_up)" in metrics.summary()
