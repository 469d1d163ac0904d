"""The server under load, beside its peers: ``python -m benchmarks serving --json --plot FILE``.

In one run, on the same two cores: the server on one, who asks on the other.

    raw       payloads decoded and run through the tail, without any server, at the best batch size:
              at first, and again before each load that is compared with it
    unary     this server, a gRPC call a frame, of one and of four faces
    stream    this server, frames on open streams
    litserve, ray-serve   the same tail under LitServe, and under Ray Serve's own ``@serve.batch``

Goodput counts faces that were answered within the deadline, from the instant at which their frame
was to be sent. Loads are open: frames come when they come, however the server does. All of it goes
in rounds, calls and streams by turns; what is said are medians of the rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tqdm import tqdm

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine
from benchmarks.serving.raw import IDLE, IDLE_CALLS_PER_S
from benchmarks.serving.rig import Rig, ServerProcess
from benchmarks.serving.summary import best_share, table, verdict
from training.study.figure_file import figure_path

PROTOCOLS = ("unary", "stream")
PEERS = {
    "litserve": ("benchmarks.serving.peers.lit", "/predict", "json"),
    "ray-serve": ("benchmarks.serving.peers.ray_batch", "/", "bytes"),
}
OVERLOADS = (2.0, 10.0)
LATENCY_LOAD = 0.7
# What a plugged server is told: one face waits, and keeps all others out.
PLUGGED = {"queue_max": 1, "batch_max": 16, "batch_wait_ms": 1000}
PLUGGED_DEADLINE_MS = 5000.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to measure: loads as shares of the raw rate, for how long each, and how often all."""

    loads: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0, 1.15)
    peer_loads: tuple[float, ...] = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
    deadline_ms: float = 150.0
    rounds: int = 3
    seconds: float = 3.0
    warm_s: float = 0.5
    latency_seconds: float = 5.0
    idle_calls_per_s: float = IDLE_CALLS_PER_S
    raw_seconds: float = 15.0
    raw_again_seconds: float = 1.0


QUICK = Plan((0.5, 1.1), (0.2, 0.6), rounds=1, seconds=2.0, latency_seconds=3.0, raw_seconds=3.0)


class Measurement:
    """Rows as they are measured."""

    def __init__(self, rig: Rig, plan: Plan) -> None:
        self._rig, self._plan = rig, plan
        self._rows: list[Row] = []
        self._round = 0
        self._bar = tqdm(unit="load", disable=None)

    def ours(self) -> list[Row]:
        """This server, by calls and by streams."""
        self._rows, shares = [], {}
        with self._rig.server() as server:
            for _ in self._rounds():
                for protocol in PROTOCOLS:
                    self._sweep(_us(server, protocol, faces=4), self._plan.loads)
                    to = _us(server, protocol)
                    share = shares[protocol] = self._sweep(to, self._plan.loads)
                    for times in OVERLOADS:
                        raw = self._raw_now()
                        self._offer(to, f"overload {times:g}x", times * share * raw)
                        self._rows[-1]["raw_faces_per_s"] = raw
                    self._latency(to, share)
        with self._rig.server(**PLUGGED) as plugged:
            for _ in self._rounds():
                for protocol in PROTOCOLS:
                    self._refusals(plugged, protocol, 10 * shares[protocol] * self._raw_now())
        return self._rows

    def peer(self, name: str) -> list[Row]:
        """One peer."""
        self._rows = []
        module, path, body = PEERS[name]
        with self._rig.peer(module, path) as port:
            to = {"server": name, "protocol": "http", "faces": 1, "port": port}
            to |= {"path": path, "body": body}
            for _ in self._rounds():
                self._latency(to, self._sweep(to, self._plan.peer_loads))
        return self._rows

    def _rounds(self) -> Iterator[int]:
        for number in range(self._plan.rounds):
            self._round = number
            yield number

    def _sweep(self, to: Row, loads: tuple[float, ...]) -> float:
        """The best goodput, as a share of the raw rate."""
        for load in loads:
            raw = self._raw_now()
            self._offer(to, "sweep", load * raw, load=load)
            self._rows[-1]["raw_faces_per_s"] = raw
        return best_share(self._rows[-len(loads) :])

    def _raw_now(self) -> float:
        return self._rig.raw_again(self._plan.raw_again_seconds)

    def _latency(self, to: Row, share: float) -> None:
        seconds = self._plan.latency_seconds
        self._offer(to, "70 %", LATENCY_LOAD * share * self._raw_now(), seconds=seconds)
        raw_ms = self._rig.raw_again(IDLE)
        self._offer(to, "idle", self._plan.idle_calls_per_s, seconds=seconds)
        self._rows[-1]["raw_idle_ms"] = raw_ms

    def _refusals(self, plugged: ServerProcess, protocol: str, rate: float) -> None:
        """What a refusal costs: nearly every call is refused by a queue that is full."""
        to, before_s = _us(plugged, protocol), plugged.cpu_s
        self._offer(to, "refusals", rate, deadline_ms=PLUGGED_DEADLINE_MS, warm_s=0.0)
        self._rows[-1]["cpu_s"] = round(plugged.cpu_s - before_s, 3)

    def _offer(
        self, to: Row, what: str, faces_per_s: float, load: float | None = None, **order: Any
    ) -> None:
        plan = self._plan
        asked = max(1.0, faces_per_s)  # also where nothing was answered before
        fitted = {"deadline_ms": plan.deadline_ms, "seconds": plan.seconds, "warm_s": plan.warm_s}
        row = self._rig.offer(
            **to, rate=asked / to["faces"], seed=len(self._rows), **(fitted | order)
        )
        asked_of = {key: to[key] for key in ("server", "protocol", "faces")}
        asked_for = {"round": self._round, "what": what, "load": load}
        self._rows.append({**asked_of, **asked_for, "faces_per_s": round(asked, 1), **row})
        self._bar.update()


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    plan = QUICK if arguments.quick else Plan()
    machine = describe_machine()
    with Rig() as rig:
        raw = rig.raw(plan.raw_seconds)
        measurement = Measurement(rig, plan)
        rows = measurement.ours()
        for name in arguments.peer or PEERS:
            rows += measurement.peer(name)
        cores = {"server": rig.server_core, "load": rig.load_core}
    result = {
        "plan": asdict(plan),
        "cores": cores,
        "raw": raw,
        "rows": rows,
        "verdict": verdict(raw, rows),
        "machine": machine,
    }
    if arguments.plot:
        from benchmarks.serving.plot import plot

        plot(result, arguments.plot)
    return result


def _us(server: ServerProcess, protocol: str, faces: int = 1) -> Row:
    return {
        "server": "splitfer",
        "protocol": protocol,
        "faces": faces,
        "port": server.port,
        "fingerprint": server.fingerprint,
    }


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few loads and short: a try")
    parser.add_argument("--peer", action="append", choices=PEERS, help="this peer; else all")
    parser.add_argument("--plot", type=figure_path, metavar="FILE", help="write the figure, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
