"""What one server is made of, and how the parts are wired."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.bounds import bounds_of
from splitfer.cloud_server.admission.byte_budget import ByteBudget, StandingPart
from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.admission.tls import ServerTls
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.head import ServedHead
from splitfer.cloud_server.pictures.reader import PictureReader
from splitfer.cloud_server.server.process import memory_bytes, raise_open_files
from splitfer.cloud_server.service.face_queue import FaceQueue
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.telemetry.live_metrics import LiveMetrics
from splitfer.cloud_server.telemetry.metrics import Metrics
from splitfer.cloud_server.telemetry.observer import BatchObservers, Observer
from splitfer.cloud_server.telemetry.tls_metrics import TlsMetrics
from splitfer.cloud_server.telemetry.tracing import open_tracing
from splitfer.cloud_server.weights.handed_out import HandedOutWeights
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.version import server_version

log = logging.getLogger("splitfer.cloud_server")
# For answers that are there already to reach their connections, before what is left is refused.
_ANSWERS_S = 0.1
# For the last traces to reach their receiver when the server stops.
_TRACES_S = 0.3


class Parts:
    """Everything that outlives a request. Shells are handed what they use of it."""

    def __init__(self, config: CloudConfig, registry: Registry) -> None:
        self.config, self.registry = config, registry
        self.health, self.access = Health(), Access(config)
        self.admission = Admission(self.access, self.health)
        self.tls = ServerTls(config)
        self.metrics = Metrics()
        self.metrics.registry.register(LiveMetrics(self.health, self.metrics, registry))
        self.metrics.registry.register(TlsMetrics(self.tls))
        self._tracing = open_tracing(config.otlp_endpoint, server_version())
        self.observer = Observer(self.metrics, self._tracing)
        self.bounds = bounds_of(config, raise_open_files(), memory_bytes())
        self.budget = ByteBudget(self.bounds.received_bytes)
        self.standing = StandingPart(self.budget, self.bounds.standing_bytes)
        # Of its own: a picture that waited for what stalls would hold a worker, and so all others.
        self._picture_budget = ByteBudget(self.bounds.picture_bytes)
        self._pictures = PictureReader(config, self._picture_budget)
        self.handed_out = HandedOutWeights(registry) if config.hand_out_weights else None
        self._head = ServedHead(config)
        faces = FaceQueue(self.metrics, self._tracing)
        self.service = Service(config, registry, self._pictures, self._head, faces, self.metrics)

    @property
    def held_bytes(self) -> int:
        """Of what callers have sent, now."""
        return self.budget.held_bytes + self._picture_budget.held_bytes

    def start(self) -> None:
        """Begin to answer. Belongs to the event loop that it is called on."""
        self.registry.start(BatchObservers(self.metrics, self._tracing))
        self._head.start()

    async def finish(self, hurry: asyncio.Event) -> bool:
        """While draining: what is in flight is answered, or, after ``drain_s`` or at ``hurry``,
        faces and pictures of it are refused. Whether nothing is left of it."""
        waits = [asyncio.create_task(self.health.empty()), asyncio.create_task(hurry.wait())]
        await asyncio.wait(waits, timeout=self.config.drain_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not self.health.is_empty:
            # They get their refusal while there is still a connection to send it on.
            log.warning("stopping with requests in flight")
            await self.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.health.empty(), _ANSWERS_S)
        return self.health.is_empty

    async def close(self) -> None:
        """Stop now; what has no answer yet raises ``NotReady``."""
        self._picture_budget.close()
        self._pictures.close()
        await self._head.close()
        await self.registry.close()
        if self._tracing.on:
            # It waits for whoever receives the traces; a stop does not wait for it for long.
            closing = threading.Thread(target=self._tracing.close, name="traces", daemon=True)
            closing.start()
            await asyncio.to_thread(closing.join, _TRACES_S)
