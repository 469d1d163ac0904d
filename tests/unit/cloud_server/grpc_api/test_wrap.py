"""Whose large messages are all refused, face by face or as a whole, is read more slowly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget
from splitfer.cloud_server.admission.health import Health, Phase
from splitfer.cloud_server.admission.slowed import SlowedCallers
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api.message import Reader
from splitfer.cloud_server.grpc_api.splitfer import splitfer_methods
from splitfer.cloud_server.grpc_api.wrap import Wrap
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.tracing import NoTracing
from splitfer.shared.contracts import Limits
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

ANSWERED = pb.FaceResult(answer=pb.Answer(model="1234/cloud"))
REFUSED = pb.FaceResult(error=pb.Error(code="malformed_payload"))
BROKEN, LATE = (
    pb.FaceResult(error=pb.Error(code=code)) for code in ("inference_failed", "deadline")
)
MESSAGE = pb.InferRequest(payloads=[bytes(6000)] * 32)


async def refused_bytes(monkeypatch: pytest.MonkeyPatch, *results: pb.FaceResult) -> list[int]:
    """What a caller is slowed for whose message has these results."""
    told = list[int]()
    monkeypatch.setattr(SlowedCallers, "refused", lambda _, __, size: told.append(size))

    async def infer(request: pb.InferRequest, _: object) -> pb.InferResponse:
        assert request == MESSAGE
        return pb.InferResponse(results=results)

    health = Health()
    health.phase = Phase.SERVING
    admission = Admission(Access(CloudConfig()), health)
    observer = Observer(Metrics(), NoTracing())
    wrap = Wrap(admission, observer, Reader(1), ByteBudget(2**20))
    behaviour: Any = infer
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour, pb.InferRequest.FromString, pb.InferResponse.SerializeToString
    )
    context: Any = SimpleNamespace(
        invocation_metadata=lambda: (),
        peer=lambda: "ipv4:127.0.0.1:5000",
        set_trailing_metadata=lambda _: None,
    )
    answer = wrap.answering("s/Infer", handler, splitfer_methods(Limits())["Infer"])
    reply = await answer(MESSAGE.SerializeToString(), context)
    assert list(pb.InferResponse.FromString(reply).results) == list(results)
    return told


async def test_one_face_that_has_an_answer_is_worth_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await refused_bytes(monkeypatch, REFUSED, ANSWERED) == []


async def test_nobody_is_slowed_for_a_failure_of_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await refused_bytes(monkeypatch, BROKEN, BROKEN) == []
    assert await refused_bytes(monkeypatch, BROKEN, LATE) == [MESSAGE.ByteSize()]


async def test_a_message_of_which_no_face_has_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await refused_bytes(monkeypatch, REFUSED, REFUSED) == [MESSAGE.ByteSize()]
