"""A device, a link and a server in virtual time, with the edge's own router, estimates and breaker.

How many bytes a face takes stands in the weights' manifest, what the stages take in
``benchmarks/results/edge.json``.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from types import SimpleNamespace
from typing import Any, Self, cast

from benchmarks.link.simulated_link import SimulatedLink, Trace
from benchmarks.readme.results import RESULTS
from splitfer.edge_client.link import breaker as machine
from splitfer.edge_client.link.breaker import Breaker
from splitfer.edge_client.link.call import Call, CallFailed
from splitfer.edge_client.link.link import HANDSHAKE_TIMEOUT_S
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.policy.estimates import JPEG_BYTES_PER_PIXEL
from splitfer.edge_client.policy.policy import PolicySettings
from splitfer.edge_client.policy.prediction import Route, local_start_ms, too_late_to_send
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import AnswerPath, Reason
from splitfer.shared.weights.manifest import Manifest

HANDSHAKE_BYTES = 300
PIXELS = 640 * 480


@dataclass(frozen=True)
class SimulatedDevice:
    """Typical milliseconds per stage of one face, of the device and of the server; ``noise`` is
    relative."""

    detect_ms: float
    head_ms: float
    tail_ms: float
    encode_ms: float
    jpeg_ms: float
    cloud_ms: float
    image_ms: float
    noise: float = 0.05

    @classmethod
    def measured(cls, file: FilePath = RESULTS / "edge.json") -> Self:
        """What ``benchmarks edge`` measured of one core; the server has such cores too. Making a
        JPEG is no stage of it: it takes about 7 % of what the search does (640x480)."""
        stages = json.loads(file.read_text())["result"]["stages"]
        ms = {name: float(stage["p50_ms"]) for name, stage in stages.items()}
        head_ms = ms["crop"] + ms["head"]
        return cls(
            ms["detect"],
            head_ms,
            ms["local_tail"],
            ms["encode"],
            0.07 * ms["detect"],
            ms["cloud_tail"],
            ms["detect"] + head_ms + ms["cloud_tail"],
        )

    def slower(self, factor: float) -> SimulatedDevice:
        """A device that is slower by ``factor``, with the same server."""
        return replace(
            self,
            detect_ms=self.detect_ms * factor,
            head_ms=self.head_ms * factor,
            tail_ms=self.tail_ms * factor,
            encode_ms=self.encode_ms * factor,
            jpeg_ms=self.jpeg_ms * factor,
        )


@dataclass(frozen=True)
class FrameLog:
    """What became of one frame. ``answered_by`` is the path whose answer was given."""

    at_s: float
    decision: Decision
    answered_by: AnswerPath
    total_ms: float
    sent_bytes: int

    @property
    def probe(self) -> bool:
        """Whether something was tried with it."""
        return self.decision.probe is not None


@dataclass
class SimulatedCall:
    """A call as the router knows it. ``done_s`` is when it ends; it has ``ended`` once the
    simulation is there. ``server_ms`` is None where it gets no answer."""

    sent_s: float
    done_s: float
    server_ms: float | None
    ended: bool = False

    def wait(self, _: float) -> bool:
        """Whether it ended."""
        return self.ended

    def failure(self) -> CallFailed | None:
        """Why it got no answer."""
        return CallFailed(Reason.DEADLINE, "late") if self.server_ms is None else None

    def result(self) -> Any:
        """Of the reply what the router reads."""
        return SimpleNamespace(time=SimpleNamespace(total_ms=self.server_ms))


class Simulation:
    """One run of a strategy over a trace, with what ``manifest``'s weights take. ``always`` names
    the way of every frame."""

    def __init__(
        self,
        trace: Trace,
        device: SimulatedDevice,
        settings: PolicySettings,
        manifest: Manifest,
        always: str | None = None,
        fps: float = 15.0,
        seed: int = 1,
    ) -> None:
        self._trace, self._device, self._settings = trace, device, settings
        self._fps = fps
        self._link = SimulatedLink(trace, seed)
        self._random = random.Random(seed + 1)
        self._bytes_by_rate = {one.name: one.bytes_mean for one in manifest.rates}
        by_name = {one.name: one for one in settings.candidates}
        self._now_s = 0.0
        self._router = Router(
            settings, self._bytes_by_rate, by_name[always] if always else None, lambda: self._now_s
        )
        self._router.estimates.found(None, device.head_ms, 1)
        self._router.estimates.answered(device.tail_ms, 1)
        self._breaker = Breaker()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._shaking = False

    def run(self) -> list[FrameLog]:
        """Every frame in turn, one at a time, as a live source gives them."""
        logs: list[FrameLog] = []
        free_s = now_s = 0.5
        while now_s < self._trace.end_s:
            self._advance(now_s)
            log, free_s = self._answer(now_s)
            logs.append(log)
            # The next picture of the camera that comes once this one is done.
            now_s = max(now_s + 1 / self._fps, math.ceil(free_s * self._fps) / self._fps)
        return logs

    # -- one frame -----------------------------------------------------------------------------

    def _answer(self, start_s: float) -> tuple[FrameLog, float]:
        """What became of a frame, and when the device is free again."""
        settings, router = self._settings, self._router
        router.next_frame()
        with_image = router.before_search
        now_s = start_s
        if not with_image:
            now_s = self._search(now_s)
        self._now_s = now_s
        decision = router.choose(
            (now_s - start_s) * 1000, None if with_image else 1, PIXELS, self._breaker.refusal
        )
        path: AnswerPath = decision.path
        if with_image and path is not AnswerPath.IMAGE:
            now_s = self._search(now_s)
        needs_ms = router.needs_ms(1, searched=path is not AnswerPath.IMAGE)
        late = too_late_to_send((now_s - start_s) * 1000, settings.deadline_ms, needs_ms)
        if path is AnswerPath.LOCAL or decision.refusal is not None or late:
            if path is AnswerPath.IMAGE:
                now_s = self._search(now_s)
            done_s = now_s = self._tail(now_s)
            sent = 0
            if decision.probe is not None and path is AnswerPath.LOCAL:
                now_s, sent = self._encode(now_s, decision.probe)
                self._send(now_s, decision.probe, sent, now_s + settings.deadline_ms / 1000)
            return self._log(start_s, decision, AnswerPath.LOCAL, done_s, sent), now_s

        now_s, sent = self._encode(now_s, decision.chosen)
        deadline_s = start_s + settings.deadline_ms / 1000
        there_s = self._send(now_s, decision.chosen, sent, deadline_s)
        local_s = max(now_s, start_s + local_start_ms(settings.deadline_ms, needs_ms) / 1000)
        together = decision.chosen.together
        beside = decision.shadow or together
        if beside:
            now_s = self._tail(now_s)
        if there_s <= max(local_s, now_s if together else 0.0):
            done_s = max(there_s, now_s) if together else there_s
            free_s = max(there_s, now_s)
        else:
            if path is AnswerPath.IMAGE:
                local_s = self._search(local_s)
            free_s = max(local_s, now_s) if beside else self._tail(local_s)
            done_s = min(there_s, free_s)
            path = path if there_s <= free_s else AnswerPath.LOCAL
        return self._log(start_s, decision, path, done_s, sent), free_s

    def _log(
        self, start_s: float, decision: Decision, path: AnswerPath, done_s: float, sent: int
    ) -> FrameLog:
        return FrameLog(start_s, decision, path, (done_s - start_s) * 1000, sent)

    def _took_ms(self, typical_ms: float) -> float:
        return typical_ms * self._random.lognormvariate(0, self._device.noise)

    def _search(self, now_s: float) -> float:
        detect_ms, head_ms = (
            self._took_ms(self._device.detect_ms),
            self._took_ms(self._device.head_ms),
        )
        self._router.estimates.found(detect_ms, head_ms, 1)
        return now_s + (detect_ms + head_ms) / 1000

    def _tail(self, now_s: float) -> float:
        tail_ms = self._took_ms(self._device.tail_ms)
        self._router.estimates.answered(tail_ms, 1)
        return now_s + tail_ms / 1000

    def _encode(self, now_s: float, what: Route) -> tuple[float, int]:
        varied = self._random.lognormvariate(0, 0.1)
        estimates = self._router.estimates
        if what.path is AnswerPath.IMAGE:
            took_ms = self._took_ms(self._device.jpeg_ms)
            size = round(JPEG_BYTES_PER_PIXEL * PIXELS * varied)
            estimates.pictured(took_ms, size, PIXELS)
        else:
            took_ms = self._took_ms(self._device.encode_ms)
            size = round(self._bytes_by_rate[what.rate] * varied)
            estimates.encoded(what.rate, took_ms, size, 1)
        return now_s + took_ms / 1000, size

    # -- the link ------------------------------------------------------------------------------

    def _send(self, now_s: float, what: Route, size: int, deadline_s: float) -> float:
        """When the reply is there; the router learns of the call once it has ended."""
        path = what.path
        typical_ms = self._device.image_ms if path is AnswerPath.IMAGE else self._device.cloud_ms
        server_ms = self._took_ms(typical_ms)
        there_s = self._link.round_trip_s(now_s, size) + server_ms / 1000
        in_time = there_s <= deadline_s
        call = SimulatedCall(
            now_s, there_s if in_time else deadline_s, server_ms if in_time else None
        )
        self._router.sent(cast("Call[Any]", call), path, size)

        def ended(at_s: float) -> None:
            call.ended = True
            if in_time:
                self._breaker = machine.call_succeeded(self._breaker)
            else:
                self._breaker = machine.call_failed(self._breaker, Reason.DEADLINE, at_s, 0.5)

        self._at(call.done_s, ended)
        return there_s if in_time else math.inf

    def _at(self, at_s: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), event))

    def _advance(self, now_s: float) -> None:
        """Let everything happen that happens until now, handshakes too."""
        while True:
            shake_s = math.inf
            if self._breaker.probe_due(math.inf) and not self._shaking:
                shake_s = self._breaker.probe_at_s
            next_s = min(shake_s, self._events[0][0] if self._events else math.inf)
            if next_s > now_s:
                return
            if shake_s <= next_s:
                self._shake(shake_s)
            else:
                at_s, _, event = heapq.heappop(self._events)
                event(at_s)

    def _shake(self, now_s: float) -> None:
        self._breaker = machine.probe_started(self._breaker)
        self._shaking = True
        there_s = self._link.round_trip_s(now_s, HANDSHAKE_BYTES, trips=3)

        def ended(at_s: float) -> None:
            self._shaking = False
            if there_s <= at_s:
                self._breaker = machine.handshake_succeeded(self._breaker)
            else:
                self._breaker = machine.handshake_failed(self._breaker, Reason.LINK_DOWN, at_s, 0.5)

        self._at(min(there_s, now_s + HANDSHAKE_TIMEOUT_S), ended)
