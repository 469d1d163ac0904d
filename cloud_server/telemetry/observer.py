"""What happens around every request, whatever its protocol: an id, metrics, a span, a log line."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from splitfer.cloud_server.inference.batch_observer import BatchObserver
from splitfer.cloud_server.inference.face import Face
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.request import OK, REQUEST_ID, Request, bind, request_id
from splitfer.cloud_server.telemetry.tracing import NoTracing

log = logging.getLogger(__name__)


class Observer:
    """Sees requests come and go. A connection that carries several begins and ends each one."""

    def __init__(self, metrics: Metrics, tracing: NoTracing) -> None:
        self.metrics = metrics
        self._tracing = tracing

    def begin(self, protocol: str, method: str, headers: Mapping[str, str]) -> Request:
        """A request arrived, and becomes the running task's; ``headers`` have small names."""
        request = Request(protocol, method, request_id(headers.get(REQUEST_ID)))
        bind(request)
        self._tracing.begin(request, headers)
        return request

    def end(self, request: Request) -> None:
        """End a request: answered, or refused with a code."""
        request.code = request.code or OK
        self._tracing.end(request)
        self.metrics.request_ended(request)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s %s %s in %.1f ms", request.protocol, request.method, request.code, request.ms
            )


class BatchObservers:
    """Passes each batch on to metrics and traces."""

    def __init__(self, *watches: BatchObserver) -> None:
        self._watches = watches

    def batch_taken(self, model: str, faces: Sequence[Face], ages_ms: Sequence[float]) -> None:
        """See ``BatchObserver``."""
        for watch in self._watches:
            watch.batch_taken(model, faces, ages_ms)

    def batch_ran(self, model: str, faces: Sequence[Face], tail_ms: float) -> None:
        """See ``BatchObserver``."""
        for watch in self._watches:
            watch.batch_ran(model, faces, tail_ms)
