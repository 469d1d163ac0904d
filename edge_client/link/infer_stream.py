"""One open ``InferStream``: frames go up as they come, answers come back matched by id.

    send --> pending by id --> answered | its error | its deadline passed
                  `-- the stream broke: asked again by a call of its own, where time is left

So a frame never learns that a stream broke, unless the call of its own fails as well.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import grpc

from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.link.reasons import reason_of_code
from splitfer.shared.contracts import Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub

# Starts a call of its own with so many seconds to go; raises ValueError on a closed channel.
Alone = Callable[[float], Any]
_HANGING_UP_S = 1.0


@dataclass(eq=False)
class _Pending:
    deadline: Deadline
    alone: Alone
    future: Future[pb.InferResponse] = field(default_factory=Future)

    def fail(self, reason: Reason, detail: str) -> None:
        self.future.set_exception(CallFailed(reason, detail))

    def settle(self, answer: pb.InferStreamResponse) -> None:
        if answer.WhichOneof("outcome") == "response":
            self.future.set_result(answer.response)
        else:
            self.fail(reason_of_code(answer.error.code), answer.error.message)

    def ask_again(self) -> None:
        left_s = self.deadline.remaining_ms() / 1000
        if left_s <= 0:
            self.fail(Reason.DEADLINE, "the stream broke, and no time is left")
            return
        try:
            self.alone(left_s).add_done_callback(self._copy)
        except ValueError as error:  # the channel was closed meanwhile
            self.fail(Reason.LINK_DOWN, str(error))

    def _copy(self, call: Any) -> None:
        if call.cancelled():
            self.fail(Reason.LINK_DOWN, "the connection was closed")
        elif error := call.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(call.result())


class InferStream:
    """A stream on the channel of ``stub``, for at most ``in_flight`` messages at once. Safe to use
    from several threads.

    ``broken_s`` is the monotonic instant at which it ended, by whomever; ``answered`` says whether
    it ever brought anything.
    """

    def __init__(
        self, stub: SplitFerStub, metadata: Sequence[tuple[str, str]], in_flight: int
    ) -> None:
        self.broken_s: float | None = None
        self.answered = False
        self._in_flight = in_flight
        self._pending: dict[int, _Pending] = {}
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._wakes_s = math.inf
        self._closing = False
        self._sent = self._unasked = 0
        self._outbox: queue.SimpleQueue[pb.InferStreamRequest | None] = queue.SimpleQueue()
        self._call: Any = stub.InferStream(iter(self._outbox.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, name="stream", daemon=True)
        self._reader.start()
        threading.Thread(target=self._keep_time, name="stream-time", daemon=True).start()

    def send(
        self, request: pb.InferRequest, deadline: Deadline, traceparent: str, alone: Alone
    ) -> Future[pb.InferResponse] | None:
        """The reply to come; None where the stream is full, or broken: nothing was sent.

        The future raises ``CallFailed``, or what the call of its own raises.
        """
        pending = _Pending(deadline, alone)
        with self._changed:
            if self.broken_s is not None or len(self._pending) >= self._in_flight:
                return None
            number = next(self._numbers)
            self._sent = number
            self._pending[number] = pending
            if deadline.at_s < self._wakes_s:
                self._changed.notify_all()
        self._outbox.put(
            pb.InferStreamRequest(
                id=number,
                deadline_ms=max(1.0, deadline.remaining_ms()),
                request=request,
                traceparent=traceparent,
                sent_ms=time.monotonic() * 1000,
            )
        )
        return pending.future

    def close(self) -> None:
        """Hang up; what has no reply yet fails."""
        self._closing = True
        self._call.cancel()
        if threading.current_thread() is not self._reader:
            self._reader.join(_HANGING_UP_S)

    def _read(self) -> None:
        try:
            for answer in self._call:
                if answer is None:  # gRPC takes a damaged message for none
                    break
                with self._changed:
                    pending = self._pending.pop(answer.id, None)
                    self._unasked += pending is None
                    if self._unasked > self._sent:  # nobody answers more than was asked
                        break
                if pending is not None:  # else its deadline has passed
                    self.answered = True
                    pending.settle(answer)
        except grpc.RpcError:
            pass  # whatever it was, a call of its own meets it too, and says so
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self.broken_s = time.monotonic()
            left = list(self._pending.values())
            self._pending.clear()
            self._changed.notify_all()
        self._outbox.put(None)
        self._call.cancel()
        for pending in left:
            if self._closing:
                pending.fail(Reason.LINK_DOWN, "the connection was closed")
            else:
                pending.ask_again()

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                if self.broken_s is not None:
                    return
                late = [n for n, pending in self._pending.items() if pending.deadline.expired()]
                overdue = [self._pending.pop(number) for number in late]
                if not overdue:
                    instants = (pending.deadline.at_s for pending in self._pending.values())
                    self._wakes_s = min(instants, default=math.inf)
                    seconds = self._wakes_s - time.monotonic()
                    self._changed.wait(None if math.isinf(seconds) else max(0.0, seconds))
            for pending in overdue:
                pending.fail(Reason.DEADLINE, "the deadline passed")
