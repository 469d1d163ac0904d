"""Runs the policy in virtual time:
``python -m benchmarks policy_sim --plot docs/device/policy.png``.

Device, link and server are simulated; the policy, its estimates and the breaker are the edge's
own. Says how a strategy would do, not how fast anything here is.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from benchmarks.link.simulated_link import GOOD, OUT, LinkNow, SimulatedLink, Trace
from splitfer.edge_client.config import Objective
from splitfer.edge_client.link import breaker as machine
from splitfer.edge_client.link.breaker import Breaker
from splitfer.edge_client.link.link import HANDSHAKE_TIMEOUT_S
from splitfer.edge_client.policy.decision import Decision, Why
from splitfer.edge_client.policy.estimates import Estimates
from splitfer.edge_client.policy.policy import Memory, PolicySettings, charge, decide
from splitfer.edge_client.policy.prediction import FrameFacts, Route, local_start_ms
from splitfer.shared.contracts import AnswerPath, Reason
from training.study.figure_file import figure_path, save_figure

HANDSHAKE_BYTES = 300
PIXELS = 224 * 224
CANDIDATES = (
    Route(AnswerPath.LOCAL, 0.68),
    Route(AnswerPath.CLOUD, 0.71, "high"),
    Route(AnswerPath.CLOUD, 0.705, "default"),
    Route(AnswerPath.CLOUD, 0.69, "low"),
    Route(AnswerPath.IMAGE, 0.70),
)
PAYLOAD_BYTES = {"high": 2600.0, "default": 1400.0, "low": 700.0}
PICTURE_BYTES = 7000.0


@dataclass(frozen=True)
class SimulatedDevice:
    """Typical milliseconds per stage, of the device and of the server; ``noise`` is relative."""

    detect_ms: float = 6.0
    head_ms: float = 3.0
    tail_ms: float = 4.0
    encode_ms: float = 1.0
    jpeg_ms: float = 2.0
    cloud_ms: float = 4.0
    image_ms: float = 12.0
    noise: float = 0.05

    def slower(self, factor: float) -> SimulatedDevice:
        """A device that is slower by ``factor``, with the same server."""
        return replace(
            self,
            detect_ms=self.detect_ms * factor, head_ms=self.head_ms * factor,
            tail_ms=self.tail_ms * factor, encode_ms=self.encode_ms * factor,
            jpeg_ms=self.jpeg_ms * factor,
        )  # fmt: skip


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


class Simulation:
    """One run of a strategy over a trace. ``settings.candidates`` may hold one path only."""

    def __init__(
        self, trace: Trace, device: SimulatedDevice, settings: PolicySettings,
        always: str | None = None, fps: float = 15.0, seed: int = 1,
    ) -> None:  # fmt: skip
        self._trace, self._device, self._settings = trace, device, settings
        self._always, self._fps = always, fps
        self._link = SimulatedLink(trace, seed)
        self._random = random.Random(seed + 1)
        self._estimates = Estimates(PAYLOAD_BYTES)
        self._estimates.answered(device.tail_ms, 1)
        self._memory, self._breaker = Memory(), Breaker()
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
        settings = self._settings
        self._estimates.next_frame()
        with_image = any(one.path is AnswerPath.IMAGE for one in settings.candidates)
        now_s = start_s
        if not with_image:
            now_s = self._search(now_s)
        facts = FrameFacts((now_s - start_s) * 1000, 1, PIXELS, searched=not with_image)
        decision = self._decide(facts, now_s)
        if with_image and decision.path is not AnswerPath.IMAGE:
            now_s = self._search(now_s)
        if decision.path is AnswerPath.LOCAL:
            done_s = now_s = self._tail(now_s)
            sent = 0
            if decision.probe is not None:
                now_s, sent = self._encode(now_s, decision.probe)
                self._send(now_s, decision.probe, sent, now_s + settings.deadline_ms / 1000)
            return self._log(start_s, decision, AnswerPath.LOCAL, done_s, sent), now_s

        now_s, sent = self._encode(now_s, decision.chosen)
        path: AnswerPath = decision.path
        deadline_s = start_s + settings.deadline_ms / 1000
        there_s = self._send(now_s, decision.chosen, sent, deadline_s)
        costs = self._estimates.costs()
        needs_ms = costs.tail.p95_ms
        if path is AnswerPath.IMAGE:
            needs_ms += costs.detect.p95_ms + costs.head.p95_ms
        local_s = max(now_s, start_s + local_start_ms(settings.deadline_ms, needs_ms) / 1000)
        if decision.shadow:
            now_s = self._tail(now_s)
        if there_s <= local_s:
            done_s, free_s = there_s, max(there_s, now_s)
        else:
            if path is AnswerPath.IMAGE:
                local_s = self._search(local_s)
            free_s = max(local_s, now_s) if decision.shadow else self._tail(local_s)
            done_s = min(there_s, free_s)
            path = path if there_s <= free_s else AnswerPath.LOCAL
        return self._log(start_s, decision, path, done_s, sent), free_s

    def _decide(self, facts: FrameFacts, now_s: float) -> Decision:
        refusal = self._breaker.refusal
        decision, self._memory = decide(
            self._estimates.costs(), facts, self._settings, self._memory, now_s, refusal
        )
        if self._always is not None:
            by_name = {one.name: one for one in self._settings.candidates}
            chosen = by_name["local" if refusal else self._always]
            decision = replace(decision, chosen=chosen, why=Why.HELD, probe=None, shadow=False)
        return decision

    def _log(
        self, start_s: float, decision: Decision, path: AnswerPath, done_s: float, sent: int
    ) -> FrameLog:
        self._memory = charge(self._memory, sent)
        return FrameLog(start_s, decision, path, (done_s - start_s) * 1000, sent)

    def _took_ms(self, typical_ms: float) -> float:
        return typical_ms * self._random.lognormvariate(0, self._device.noise)

    def _search(self, now_s: float) -> float:
        detect_ms, head_ms = (
            self._took_ms(self._device.detect_ms), self._took_ms(self._device.head_ms),
        )  # fmt: skip
        self._estimates.found(detect_ms, head_ms, 1)
        return now_s + (detect_ms + head_ms) / 1000

    def _tail(self, now_s: float) -> float:
        tail_ms = self._took_ms(self._device.tail_ms)
        self._estimates.answered(tail_ms, 1)
        return now_s + tail_ms / 1000

    def _encode(self, now_s: float, what: Route) -> tuple[float, int]:
        varied = self._random.lognormvariate(0, 0.1)
        if what.path is AnswerPath.IMAGE:
            took_ms = self._took_ms(self._device.jpeg_ms)
            size = round(PICTURE_BYTES * varied)
            self._estimates.pictured(took_ms, size, PIXELS)
        else:
            took_ms = self._took_ms(self._device.encode_ms)
            size = round(PAYLOAD_BYTES[what.rate] * varied)
            self._estimates.encoded(what.rate, took_ms, size, 1)
        return now_s + took_ms / 1000, size

    # -- the link ------------------------------------------------------------------------------

    def _send(self, now_s: float, what: Route, size: int, deadline_s: float) -> float:
        """When the reply is there; what the call tells is fed to the estimates at its time."""
        path = what.path
        typical_ms = self._device.image_ms if path is AnswerPath.IMAGE else self._device.cloud_ms
        server_ms = self._took_ms(typical_ms)
        there_s = self._link.round_trip_s(now_s, size) + server_ms / 1000
        if there_s <= deadline_s:

            def replied(at_s: float) -> None:
                link_ms = (at_s - now_s) * 1000 - server_ms
                self._estimates.replied(path, size, link_ms, server_ms, at_s)
                self._breaker = machine.call_succeeded(self._breaker)

            self._at(there_s, replied)
            return there_s

        def failed(at_s: float) -> None:
            self._estimates.failed(size, (at_s - now_s) * 1000, at_s)
            self._breaker = machine.call_failed(self._breaker, Reason.DEADLINE, at_s, 0.5)

        self._at(deadline_s, failed)
        return math.inf

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


# A walk through town: good, narrow, far, nothing, good; then a network that comes and goes.
WALK = Trace(
    "walk",
    (
        (0.0, GOOD),
        (15.0, LinkNow(30_000, 20, jitter_ms=3)),
        (30.0, LinkNow(500_000, 150, jitter_ms=20)),
        (45.0, OUT),
        (55.0, GOOD),
        *((70.0 + 3 * n, (OUT, GOOD)[n % 2]) for n in range(6)),
    ),
    90.0,
)


def report(logs: Sequence[FrameLog], deadline_ms: float) -> dict[str, Any]:
    """A run's figures."""
    times_ms = sorted(one.total_ms for one in logs)
    held = [one.decision.held for one in logs]
    return {
        "frames": len(logs),
        "late": sum(ms > deadline_ms for ms in times_ms),
        "latency_ms": {
            "p50": round(statistics.median(times_ms), 1),
            "p99": round(times_ms[math.ceil(0.99 * len(times_ms)) - 1], 1),
        },
        "by_path": Counter(one.answered_by.value for one in logs),
        "switches": sum(a != b for a, b in itertools.pairwise(held)),
        "probes": sum(one.probe for one in logs),
        "sent_bytes": sum(one.sent_bytes for one in logs),
    }


def draw(logs: Sequence[FrameLog], trace: Trace, settings: PolicySettings, to: FilePath) -> None:
    """The link, the candidate chosen and the latency over time, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, (link, chosen, latency) = plt.subplots(
        3, 1, figsize=(9, 7), sharex=True, layout="constrained"
    )
    at_s = [n / 10 for n in range(int(trace.end_s * 10))]
    rates = [0 if trace.at(s).dead == 1 else trace.at(s).bytes_per_s / 1000 for s in at_s]
    link.step(at_s, rates, where="post", color="tab:blue")
    link.set_ylabel("link, KB/s", color="tab:blue")
    link.set_ylim(0)
    rtt = link.twinx()
    rtt.step(at_s, [trace.at(s).rtt_ms for s in at_s], where="post", color="tab:orange", ls=":")
    rtt.set_ylabel("round trip, ms", color="tab:orange")
    rtt.set_ylim(0)
    link.set_title("A link that changes, and what `auto` makes of it (simulated)")

    # From the least accurate upwards.
    names = [one.name for one in sorted(settings.candidates, key=lambda one: one.merit)]
    for probe, marker, label in ((False, ".", "chosen"), (True, "x", "tried")):
        some = [one for one in logs if one.probe is probe]
        what = [(one.decision.probe or one.decision.chosen).name for one in some]
        chosen.plot([one.at_s for one in some], [names.index(name) for name in what], marker,
                    color="tab:red" if probe else "black", label=label)  # fmt: skip
    chosen.set_yticks(range(len(names)), names)
    chosen.legend(loc="center right")

    for path, colour in ((AnswerPath.LOCAL, "tab:gray"), (AnswerPath.CLOUD, "tab:blue")):
        some = [one for one in logs if one.answered_by is path]
        latency.plot([one.at_s for one in some], [one.total_ms for one in some], ".",
                     color=colour, label=f"answered by {path.value}")  # fmt: skip
    latency.axhline(settings.deadline_ms, color="tab:red", ls="--", label="deadline")
    latency.set_ylabel("latency, ms")
    latency.set_xlabel("seconds")
    latency.set_ylim(0, 1.25 * settings.deadline_ms)
    latency.legend(loc="upper center", ncols=3)
    for axes in (link, chosen, latency):
        axes.grid(alpha=0.3)
    save_figure(figure, to, dpi=110)
    plt.close(figure)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="the policy on a simulated link")
    parser.add_argument("--objective", choices=[one.value for one in Objective], default="accuracy")
    parser.add_argument("--plot", type=figure_path, metavar="FILE.png")
    arguments = parser.parse_args()
    settings = PolicySettings(CANDIDATES[:-1], 150.0, Objective(arguments.objective))
    logs = Simulation(WALK, SimulatedDevice(), settings).run()
    if arguments.plot:
        draw(logs, WALK, settings, arguments.plot)
    print(json.dumps(report(logs, settings.deadline_ms)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
