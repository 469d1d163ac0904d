"""The stream of a channel: opened when it is first needed, and again after it broke."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from splitfer.edge_client.link.infer_stream import InferStream
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub

# Between a stream that broke and the next one. Longer where the last ones brought nothing: then
# something on the way may let none pass.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class Streams:
    """Gives out the open stream. Safe to use from several threads; none is opened with
    ``in_flight`` 0."""

    def __init__(
        self, stub: SplitFerStub, metadata: Sequence[tuple[str, str]], in_flight: int
    ) -> None:
        self._stub, self._metadata, self._in_flight = stub, metadata, in_flight
        self._lock = threading.Lock()
        self._stream: InferStream | None = None
        self._in_vain = 0
        self._closed = False

    def current(self) -> InferStream | None:
        """A stream to send on; None where there is none, or the last one broke just now.

        Raises:
            ValueError: the channel is closed.
        """
        with self._lock:
            last = self._stream
            if self._closed or not self._in_flight:
                return None
            if last is not None and last.broken_s is None:
                return last
            if last is not None and last.broken_s is not None:
                in_vain = 0 if last.answered else self._in_vain + 1
                wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(in_vain, 10))
                if time.monotonic() < last.broken_s + wait_s:
                    return None
                self._in_vain = in_vain
            self._stream = InferStream(self._stub, self._metadata, self._in_flight)
            return self._stream

    def close(self) -> None:
        """Hang up for good."""
        with self._lock:
            self._closed = True
            stream = self._stream
        if stream is not None:
            stream.close()
