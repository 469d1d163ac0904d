"""Latency against bandwidth, per strategy: ``python -m benchmarks link --json --plot FILE``.

Paper 001's Fig. 8 over real sockets, and what it has not: round trips, loss, devices of three
speeds, and policies that choose. In each point of the grid all strategies take turns, in a new
order each round, on the same faces; what one left on the link has gone before the next one starts.

    full          the full model on the device, nothing is sent
    local         the backbone on the device: the product's `local`
    image         the whole picture is sent
    two-way       paper 001: map up, weighted map back, the rest on the device
    cloud:RATE    the product's `cloud` at each rate, without a deadline
    auto:latency, auto, cascade   the product's policies, with the device's deadline

Times count from the frame to the answer, without the search for faces. A device is this machine
with a share of one core, so small that the backbone takes what it takes there.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine
from benchmarks.link import worth
from benchmarks.link.rig import Rig
from benchmarks.link.summary import point_rows, table, verdict
from benchmarks.net.shape import Shape
from benchmarks.net.slow_processor import MOST_FACTOR
from splitfer.shared.errors import SourceError
from splitfer.shared.weights import Weights, default_folder
from training.study.figure_file import figure_path

POLICIES = ("auto:latency", "auto", "cascade")
# Frames in which a policy gets to know a link before it is measured on it.
GETTING_TO_KNOW = 25
FEWEST_ROUNDS = 5
# A strategy that takes so many times as long as the fastest needs no fine median: a smaller share
# of the time is enough for it, and the others' medians are the better for it.
FAR, FAR_SHARE = 1.3, 0.2
_CALIBRATION_ROUNDS = 15


@dataclass(frozen=True)
class DeviceKind:
    """What the backbone (head and local tail) is to take on it (in ms; between ncnn's published
    times for ShuffleNetV2 x1.0), and its deadline."""

    name: str
    backbone_ms: float
    deadline_ms: float


DEVICES = (
    DeviceKind("Pi 5", 5.2, 100.0),
    DeviceKind("Pi 4", 33.0, 150.0),
    DeviceKind("Pi Zero 2 W", 95.0, 400.0),
)


@dataclass(frozen=True)
class Point:
    """One place in the grid."""

    device: DeviceKind
    kilobytes_per_s: float
    round_trip_ms: float
    loss: float

    @property
    def shape(self) -> Shape:
        """Of each way."""
        return Shape(1000 * self.kilobytes_per_s, self.round_trip_ms / 2, loss=self.loss)

    def row(self) -> dict[str, Any]:
        """As the result names it."""
        return {
            "device": self.device.name,
            "kilobytes_per_s": self.kilobytes_per_s,
            "round_trip_ms": self.round_trip_ms,
            "loss": self.loss,
            "deadline_ms": self.device.deadline_ms,
        }


@dataclass(frozen=True)
class Plan:
    """What to measure: the grid, and per point ``rounds`` within about ``seconds``."""

    kilobytes_per_s: tuple[float, ...] = (12.5, 50, 200, 1000)
    round_trips_ms: tuple[float, ...] = (5, 50, 200)
    losses: tuple[float, ...] = (0, 0.02)
    rounds: int = 200
    seconds: float = 36.0

    def points(self, devices: tuple[DeviceKind, ...]) -> Iterator[Point]:
        """Device by device, since each takes time to calibrate."""
        for one in product(devices, self.round_trips_ms, self.losses, self.kilobytes_per_s):
            device, round_trip_ms, loss, rate = one
            yield Point(device, rate, round_trip_ms, loss)


QUICK = Plan((12.5, 100, 1000), (50,), (0,), rounds=100, seconds=28.0)


def calibrate(rig: Rig, device: DeviceKind) -> tuple[float, float]:
    """The factor at which the backbone takes as long as on ``device``, and what it then takes."""

    def median_ms() -> float:
        times = [
            rig.order(do="go", strategy="local", face=n)["ms"] for n in range(_CALIBRATION_ROUNDS)
        ]
        return float(sorted(times)[len(times) // 2])

    rig.slow_down(1)
    own_ms = median_ms()
    factor = min(MOST_FACTOR, max(1.0, device.backbone_ms / own_ms))
    took_ms = own_ms
    for _ in range(3):
        rig.slow_down(factor)
        took_ms = median_ms()
        if factor == 1 or abs(took_ms / device.backbone_ms - 1) < 0.05:
            break
        factor = min(MOST_FACTOR, max(1.0, factor * device.backbone_ms / took_ms))
    return round(factor, 2), round(took_ms, 2)


def measure(rig: Rig, point: Point, plan: Plan, rng: random.Random) -> dict[str, list[Any]]:
    """Outcomes by strategy. Slow ones sit rounds out, so that none takes more than its share, and
    those that are far from the fastest have a smaller one."""
    rig.shape(Shape())  # handshakes of earlier links must not fill this one
    rig.wait_until_quiet()
    rig.shape(point.shape)
    names: list[str] = rig.order(do="open", deadline_ms=point.device.deadline_ms)["names"]
    outcomes: dict[str, list[Any]] = defaultdict(list)
    spent_s: dict[str, float] = defaultdict(float)

    def go(name: str, face: int) -> dict[str, Any]:
        start_s = time.monotonic()
        outcome = rig.order(do="go", strategy=name, face=face)
        if outcome["sent_bytes"]:
            rig.wait_until_quiet()
        spent_s[name] += time.monotonic() - start_s
        return outcome

    for name in names:
        for face in range(GETTING_TO_KNOW if name in POLICIES else 1):
            go(name, face)
    spent_s.clear()
    shares_s = dict.fromkeys(names, plan.seconds / len(names))
    for index in range(plan.rounds):
        rng.shuffle(names)
        for name in names:
            allowed_s = shares_s[name] * (index + 1) / plan.rounds
            few = len(outcomes[name]) < FEWEST_ROUNDS and spent_s[name] < 2 * shares_s[name]
            if spent_s[name] <= allowed_s or few:
                outcomes[name].append(go(name, index))
        shares_s = _shares(outcomes, plan.seconds)
    return outcomes


def _shares(outcomes: dict[str, list[Any]], seconds: float) -> dict[str, float]:
    """How many of the seconds each strategy may take."""
    medians = {name: statistics.median(o["ms"] for o in outcomes[name]) for name in outcomes}
    far_ms = FAR * min(medians.values())
    parts = {
        name: FAR_SHARE if ms > far_ms and name not in POLICIES else 1.0
        for name, ms in medians.items()
    }
    return {name: seconds * part / sum(parts.values()) for name, part in parts.items()}


def joined(files: list[Path]) -> dict[str, Any]:
    """One result from those of parts, such as a device each.

    Raises:
        SourceError: a file is no result, or they are not parts of one measurement.
    """
    try:
        parts = [json.loads(file.read_text()) for file in files]
        first = parts[0]
        for one in parts:
            if any(one[key] != first[key] for key in ("fingerprint", "plan", "link", "processor")):
                raise SourceError("these results are of different weights, plans or rigs")
        rows = [row for one in parts for row in one["rows"]]
        devices = {name: found for one in parts for name, found in one["devices"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"not results of this benchmark: {error!r}") from error
    return {**first, "devices": devices, "rows": rows, "verdict": verdict(rows)}


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line asks for."""
    result = joined(arguments.join) if arguments.join else measured(arguments)
    if arguments.plot:
        from benchmarks.link.plot import plot

        plot(result, arguments.plot)
    if arguments.worth:
        worth.draw(result, arguments.worth)
    return result


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    plan = QUICK if arguments.quick else Plan()
    weights = Weights(arguments.weights or default_folder())
    devices = tuple(one for one in DEVICES if arguments.device in (None, one.name))
    points = list(plan.points(devices))
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    factors: dict[str, Any] = {}
    machine = describe_machine()
    with Rig(arguments.weights) as rig:
        rig.order(do="open", deadline_ms=devices[0].deadline_ms)
        for point in tqdm(points, unit="point", disable=None):
            if point.device.name not in factors:
                factor, backbone_ms = calibrate(rig, point.device)
                factors[point.device.name] = {"factor": factor, "backbone_ms": backbone_ms}
            outcomes = measure(rig, point, plan, rng)
            rows += point_rows(point.row(), outcomes, weights.manifest)
        return {
            "fingerprint": weights.manifest.fingerprint, "plan": asdict(plan),
            "link": rig.link_kind, "processor": rig.processor_kind, "devices": factors,
            "rows": rows, "verdict": verdict(rows), "machine": machine,
        }  # fmt: skip


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small grid, within six minutes")
    parser.add_argument("--device", choices=[one.name for one in DEVICES], help="this one only")
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing: put together what --json printed for a device each",
    )
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--plot", type=figure_path, metavar="FILE", help="write the figure, too")
    parser.add_argument(
        "--worth",
        type=figure_path,
        metavar="FILE",
        help="draw what `auto` gains and costs beside the device alone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
