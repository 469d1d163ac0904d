"""``InferStream``: many frames' latents on one call that stays open."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.grpc_api.replies import write_infer_response
from splitfer.cloud_server.grpc_api.wrap import refuse_call
from splitfer.cloud_server.protocol.choices import wanted_labels
from splitfer.cloud_server.service.frame_stream import FrameStream, OpenStreams, StreamBounds
from splitfer.cloud_server.service.results import Inferred
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.service.stream_wire import Asked, End
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.shared.errors import MalformedPayload, SplitFerError
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.wire import TRACEPARENT

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Context = grpc.aio.ServicerContext[Any, Any]


class StreamedRequest:
    """One message."""

    __slots__ = ("_said", "deadline_ms", "headers", "sent_ms", "size_bytes")

    def __init__(self, said: pb.InferStreamRequest) -> None:
        self._said, self.size_bytes = said, said.ByteSize()
        self.headers: Mapping[str, str]
        self.headers = {TRACEPARENT: said.traceparent} if said.traceparent else _NO_HEADERS
        self.deadline_ms: float = said.deadline_ms
        self.sent_ms: float = said.sent_ms

    def asked(self) -> Asked:
        """What it asks.

        Raises:
            MalformedPayload: no such labels.
        """
        request = self._said.request
        labels = wanted_labels(request.labels)
        return Asked(request.payloads, request.fingerprint, request.tail, labels)

    def answer(self, inferred: Inferred) -> tuple[pb.InferStreamResponse, int]:
        """The reply, and its bytes."""
        reply = pb.InferStreamResponse(id=self._said.id)
        write_infer_response(reply.response, self._said.request.payloads, inferred)
        return reply, reply.ByteSize()

    def refusal(self, error: SplitFerError) -> tuple[pb.InferStreamResponse, int]:
        """The same, where it has no answer."""
        reply = pb.InferStreamResponse(id=self._said.id)
        reply.error.code, reply.error.message = error.code, str(error)
        reply.error.retryable = error.retryable
        return reply, reply.ByteSize()


class GrpcWire:
    """The call."""

    protocol, method = "grpc", "splitfer.v1.SplitFer/InferStream"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> StreamedRequest | End:
        """The next message, or the end of them.

        Raises:
            MalformedPayload, PayloadTooLarge: something that is no message came.
        """
        try:
            message = await self._context.read()
        except SplitFerError:
            raise
        except Exception:
            raise MalformedPayload(
                "a message cannot be read: it is not of this method's type"
            ) from None
        return End.DONE if message is grpc.aio.EOF else StreamedRequest(message)

    async def write(self, reply: pb.InferStreamResponse) -> None:
        """Hand one over."""
        await self._context.write(reply)


class InferStreams:
    """The streams that are open. ``bounds.in_flight`` 0: none is offered. Each holds room for one
    message of ``message_bytes`` of ``standing``: gRPC tells nothing of one that is not whole."""

    def __init__(
        self,
        service: Service,
        admission: Admission,
        observer: Observer,
        budget: ByteBudget,
        standing: ByteBudget,
        message_bytes: int,
        bounds: StreamBounds,
    ) -> None:
        self._service, self._admission, self._observer = service, admission, observer
        self._budget, self._standing = budget, standing
        self._message_bytes, self._bounds = message_bytes, bounds
        self._open = OpenStreams()

    @property
    def in_flight_max(self) -> int:
        """Messages of each that may be in flight."""
        return self._bounds.in_flight

    async def run(self, context: Context) -> None:
        """Serve one until the caller or ``drain`` ends it, or it is refused."""
        try:
            await self._serve(context)
        except SplitFerError as error:
            await refuse_call(context, error, self._admission)

    async def _serve(self, context: Context) -> None:
        """Serve one that may be refused.

        Raises:
            AuthError, Forbidden: the caller may not ask.
            NotReady: the server is starting or draining.
            Overloaded: as many streams as may are open.
            MalformedPayload, PayloadTooLarge: something that is no message came; those before it
                are answered.
        """
        caller = grpc_caller(self._admission, context, Scope.INFER)
        await caller.pay_for_nothing()  # streams may be opened and ended on and on
        self._admission.health.request()  # starting or draining
        stream = FrameStream(
            self._service, caller, self._observer, self._budget, self._bounds, GrpcWire(context)
        )
        room = Held(self._standing, caller.account.key, self._message_bytes)
        with room, self._open.holding(stream):
            await stream.run()

    def drain(self) -> None:
        """They end once what they have read is answered."""
        self._open.drain()
