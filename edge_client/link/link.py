"""The link to one server: handshake, calls, and the state that says whether to use it.

A thread of its own keeps the link: it makes the handshake, and after an outage tries again on a
new channel, so that neither a half-open connection nor an old address lives on.

Latents go on a stream that stays open, where the server offers one: it costs both sides less than
a call. Where it is full or broken they go by a call each.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import grpc
from google.protobuf.message import Message

from splitfer.edge_client.link import breaker as machine
from splitfer.edge_client.link.agreement import difference
from splitfer.edge_client.link.breaker import Breaker, LinkState
from splitfer.edge_client.link.call import FRAMING_BYTES, Call, CallFailed
from splitfer.edge_client.link.counts import LinkCounts
from splitfer.edge_client.link.report import LinkReport
from splitfer.edge_client.link.stream_pool import Streams
from splitfer.edge_client.tracing import NoTracing
from splitfer.shared.cause import Cause
from splitfer.shared.contracts import Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.reply_checksum import classify_checksum, infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub
from splitfer.shared.wire import AUTHORIZATION, TRACEPARENT

HANDSHAKE_TIMEOUT_S = 1.0
Metadata = tuple[tuple[str, str], ...]
StreamUse = Literal["auto", "on", "off"]
_log = logging.getLogger(__name__)


class Link:
    """A server, by way of channels from ``open_channel``. Safe to use from several threads.

    ``fingerprint`` and ``codecs`` are of this device's weights, ``labels`` whose labels it asks
    for; ``stream`` says whether latents go on a stream where the server offers one; ``on`` also
    says so where it offers none. ``server`` is its name in the log; ``diagnose`` is asked, from the
    keeper's thread, where gRPC does not say why the server cannot be used: its cause, or None where
    it finds none. gRPC does not outlive a fork: in a process that was forked off the link is down.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.Channel],
        fingerprint: str,
        codecs: Sequence[str],
        token: str | None = None,
        draw: Callable[[], float] = random.random,
        tracing: NoTracing | None = None,
        stream: StreamUse = "auto",
        labels: LabelSet = LabelSet.FER2013,
        server: str = "(unnamed)",
        diagnose: Callable[[], Cause | None] = lambda: None,
    ) -> None:
        self._process = os.getpid()
        self._stream_use = stream
        self._streams: Streams | None = None
        self._tracing = tracing or NoTracing()
        self.counts = LinkCounts()
        self._open_channel, self._draw = open_channel, draw
        self._fingerprint, self._codecs = fingerprint, frozenset(codecs)
        self._labels = labels
        self._metadata = ((AUTHORIZATION, f"Bearer {token}"),) if token else ()
        self._breaker = Breaker()
        self._changed = threading.Condition()
        self._channel: grpc.Channel | None = None
        self._stub: SplitFerStub | None = None
        self._closing = False
        self._report = LinkReport(server, token, diagnose)
        self._keeper = threading.Thread(target=self._keep, name="link", daemon=True)
        self._keeper.start()

    # -- for the frames ------------------------------------------------------------------------

    @property
    def state(self) -> LinkState:
        """Where the link stands."""
        return LinkState.OPEN if self._inherited else self._breaker.state

    @property
    def refusal(self) -> Reason | None:
        """Why nothing can be sent now; None where it can."""
        return Reason.LINK_DOWN if self._inherited else self._breaker.refusal

    @property
    def _inherited(self) -> bool:
        return os.getpid() != self._process

    @property
    def cause(self) -> Cause | None:
        """The cause of the last failure; None where there was none."""
        return self._report.cause

    def report(self) -> dict[str, Any]:
        """For the summary, see docs/device/records.md. Waits while a failure is looked into."""
        return {**self._report.record(), "state": self.state.value}

    def wait_for_handshake(self, seconds: float) -> bool:
        """Wait until the first handshake ended either way; whether the link is ready."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._breaker.state is LinkState.READY or self._breaker.probes > 0, seconds
            )
            return self._breaker.state is LinkState.READY

    def infer(self, payloads: Sequence[bytes], deadline: Deadline) -> Call[pb.InferResponse]:
        """Send one frame's payloads.

        Raises:
            CallFailed: the link is not ready.
        """
        request = pb.InferRequest(
            fingerprint=self._fingerprint, payloads=payloads, labels=self._labels.value
        )

        def checksum_matches(reply: pb.InferResponse) -> bool:
            return reply.checksum == infer_checksum(payloads, reply)

        def start(stub: SplitFerStub, timeout_s: float, metadata: Metadata) -> Any:
            def alone(seconds: float) -> Any:
                return stub.Infer.future(request, timeout=seconds, metadata=metadata)

            streams = self._streams
            if streams is not None and (stream := streams.current()):
                traceparent = dict(metadata).get(TRACEPARENT, "")
                if future := stream.send(request, deadline, traceparent, alone):
                    with self._changed:
                        self.counts.streamed_calls += 1
                    return future
            return alone(timeout_s)

        return self._send(start, request, deadline, checksum_matches)

    def classify(self, picture: bytes, deadline: Deadline) -> Call[pb.ClassifyResponse]:
        """Send a whole picture.

        Raises:
            CallFailed: the link is not ready.
        """
        request = pb.ClassifyRequest(
            picture=picture, labels=self._labels.value, prior=Prior.NATURAL.value
        )

        def checksum_matches(reply: pb.ClassifyResponse) -> bool:
            return reply.checksum == classify_checksum(picture, reply)

        def start(stub: SplitFerStub, timeout_s: float, metadata: Metadata) -> Any:
            return stub.Classify.future(request, timeout=timeout_s, metadata=metadata)

        return self._send(start, request, deadline, checksum_matches)

    def close(self) -> None:
        """Hang up and end the keeper."""
        if self._inherited:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._hang_up()  # ends a handshake under way
        self._keeper.join()
        self._hang_up()
        calls, failed, late = self.counts.calls, self.counts.failed_calls, self.counts.late_answers
        _log.info("link closed: %d calls, %d failed, %d answered too late", calls, failed, late)

    # -- calls ---------------------------------------------------------------------------------

    def _send(
        self,
        start: Callable[[SplitFerStub, float, Metadata], Any],
        request: Message,
        deadline: Deadline,
        checksum_matches: Callable[[Any], bool],
    ) -> Call[Any]:
        with self._changed:
            stub, refusal = self._stub, self.refusal
        if stub is None or refusal is not None:
            raise CallFailed(refusal or Reason.LINK_DOWN, "the link is not ready")
        timeout_s = max(0.001, deadline.remaining_ms() / 1000)
        sent_bytes = request.ByteSize() + FRAMING_BYTES
        sent_s = time.monotonic()
        span = self._tracing.call(type(request).__name__.removesuffix("Request"))
        try:
            metadata = (*self._metadata, *span.metadata)
            future = start(stub, timeout_s, metadata)
        except ValueError as error:  # the keeper closed the channel just now
            span.end(str(error))
            raise CallFailed(Reason.LINK_DOWN, str(error)) from error
        with self._changed:
            self.counts.calls += 1
            self.counts.wire_bytes += sent_bytes

        def ended(call: Call[Any]) -> None:
            failure = call.failure()
            span.end(failure.reason.value if failure else None)
            self._call_ended(call, failure)

        return Call(future, sent_s, checksum_matches, ended)

    def _call_ended(self, call: Call[Any], failure: CallFailed | None) -> None:
        with self._changed:
            if failure is None:
                self.counts.wire_bytes += call.result().ByteSize() + FRAMING_BYTES
                self.counts.late_answers += call.abandoned
                self._move(machine.call_succeeded(self._breaker))
                self._report.call_succeeded()
                return
            self.counts.failed_calls += 1
            now_s, before = time.monotonic(), self._breaker
            self._move(machine.call_failed(before, failure.reason, now_s, self._draw()))
            # What was under way when the link went tells nothing new.
            if before.state is LinkState.READY and not self._closing:
                self._report.call_failed(failure, opened=self._breaker.state is LinkState.OPEN)
        _log.debug("call failed: %s (%s)", failure.reason, self._report.quotable(str(failure)))

    # -- the keeper ----------------------------------------------------------------------------

    def _move(self, after: Breaker) -> None:
        before, self._breaker = self._breaker, after
        if before.state is not after.state:
            _log.info("link %s -> %s", before.state.value, after.state.value)
        self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            with self._changed:
                while not self._closing and not self._breaker.probe_due(time.monotonic()):
                    self._changed.wait(self._until_probe_s())
                if self._closing:
                    return
                self._move(machine.probe_started(self._breaker))
            failure = self._handshake()
            with self._changed:
                if failure is None:
                    self._report.handshake_succeeded()
                    self._move(machine.handshake_succeeded(self._breaker))
                    continue
                if not self._closing:
                    self._report.handshake_failed(failure)
                now_s, jitter = time.monotonic(), self._draw()
                self._move(machine.handshake_failed(self._breaker, failure.reason, now_s, jitter))
            self._report.look_into()

    def _until_probe_s(self) -> float | None:
        """Seconds until the next probe; None where there is none to come."""
        if self._breaker.state in (LinkState.CONNECTING, LinkState.OPEN):
            return max(0.0, self._breaker.probe_at_s - time.monotonic())
        return None

    def _handshake(self) -> CallFailed | None:
        """Open a new channel and compare weights; None where all is well."""
        self._hang_up()
        channel = self._open_channel()
        stub = SplitFerStub(channel)  # type: ignore[no-untyped-call]  # generated code
        with self._changed:
            self._channel = channel
        try:
            model: pb.Model | None = stub.GetModel(
                pb.GetModelRequest(fingerprint=self._fingerprint),
                timeout=HANDSHAKE_TIMEOUT_S,
                metadata=self._metadata,
            )
        except grpc.RpcError as error:
            return CallFailed.of(error)
        except ValueError as error:  # closed under us
            return CallFailed(Reason.LINK_DOWN, str(error))
        if model is None:  # gRPC takes a damaged stream for a reply without a message
            return CallFailed(Reason.SERVER_ERROR, "a reply without a message")
        if apart := difference(model, self._fingerprint, self._codecs, self._labels):
            return CallFailed(Reason.MODEL_MISMATCH, apart)
        with self._changed:
            self._stub = stub
            if self._stream_use != "off":
                self._streams = Streams(stub, self._metadata, model.stream_in_flight)
        if self._stream_use == "on" and not model.stream_in_flight:
            _log.warning("the server offers no streams: latents go by a call each")
        return None

    def _hang_up(self) -> None:
        with self._changed:
            channel, self._channel, self._stub = self._channel, None, None
            streams, self._streams = self._streams, None
        if streams is not None:
            streams.close()
        if channel is not None:
            channel.close()
