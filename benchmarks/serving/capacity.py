"""A capacity model: how many faces a second a deployment answers, and what a rate needs.

    call -> proxy (one a node) -> ingress replica -> tail replica

Each stage has a cost, processor time a face, and a number of processes, each of one core at most. A
rate is bounded by the first stage that is full, and by all of them together where they share cores.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.common import markdown

# A face of the default rate, with its share of message and framing.
UP_BYTES, DOWN_BYTES = 480, 90


@dataclass(frozen=True)
class Stage:
    """Processes of one kind: processor time that a face costs them, and how many there are."""

    ms_a_face: float
    processes: int = 1


@dataclass(frozen=True)
class Bound:
    """Faces a second, and what sets it: a stage's name, or ``cores``."""

    faces_per_s: float
    by: str


def bound(stages: Mapping[str, Stage], cores: float) -> Bound:
    """The most that ``stages`` answer on ``cores`` that they share."""
    alone = [
        Bound(stage.processes * 1000 / stage.ms_a_face, name) for name, stage in stages.items()
    ]
    together = Bound(cores * 1000 / sum(stage.ms_a_face for stage in stages.values()), "cores")
    return min((*alone, together), key=lambda found: found.faces_per_s)


def needed(faces_per_s: float, ms_a_face: float, utilisation: float) -> int:
    """Processes, or cores, that answer ``faces_per_s`` while each is busy for ``utilisation``."""
    return max(1, math.ceil(faces_per_s * ms_a_face / 1000 / utilisation))


def mean_wait_ms(faces_per_s: float, ms_a_face: float, processes: int) -> float:
    """How long a face waits on average for one of ``processes``: M/D/c, as half of M/M/c.

    Infinite where they cannot keep up.
    """
    offered = faces_per_s * ms_a_face / 1000
    if offered >= processes:
        return math.inf
    # Erlang's B by its recurrence, then C, the chance of waiting at all.
    blocked = 1.0
    for number in range(1, processes + 1):
        blocked = offered * blocked / (number + offered * blocked)
    waits = blocked / (1 - offered / processes * (1 - blocked))
    return waits * ms_a_face / (processes - offered) / 2


def network_mbit_per_s(faces_per_s: float, up_bytes: float, down_bytes: float) -> float:
    """What callers send and get; inside the cluster each byte travels about twice more."""
    return faces_per_s * (up_bytes + down_bytes) * 8 / 1e6


def plan(replicas: int, costs_ms: Mapping[str, float], utilisation: float) -> dict[str, float]:
    """What ``replicas`` tail replicas answer, and what goes with them."""
    faces_per_s = replicas * 1000 / costs_ms["tail"] * utilisation
    return {
        "tail": replicas,
        "faces_per_s": faces_per_s,
        "ingress": needed(faces_per_s, costs_ms["ingress"], utilisation),
        "proxy": needed(faces_per_s, costs_ms["proxy"], utilisation),
        "wait_ms": mean_wait_ms(faces_per_s, costs_ms["tail"], replicas),
        "network_mbit_per_s": network_mbit_per_s(faces_per_s, UP_BYTES, DOWN_BYTES),
    }


def table(plans: list[dict[str, float]]) -> str:
    """In Markdown."""
    head = ["tail replicas", "faces/s", "ingress", "proxies", "mean wait", "network"]
    rows = [
        [
            f"{one['tail']:.0f}",
            f"{one['faces_per_s']:.0f}",
            f"{one['ingress']:.0f}",
            f"{one['proxy']:.0f}",
            f"{one['wait_ms']:.2f} ms",
            f"{one['network_mbit_per_s']:.0f} Mbit/s",
        ]
        for one in plans
    ]
    return markdown.table(head, rows)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for stage in ("tail", "ingress", "proxy"):
        parser.add_argument(
            f"--{stage}-ms", type=float, required=True, help="processor time that a face costs it"
        )
    parser.add_argument("--utilisation", type=float, default=0.7, help="share of busy time (0.7)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 10, 100])
    arguments = parser.parse_args()
    costs_ms = {name: getattr(arguments, f"{name}_ms") for name in ("tail", "ingress", "proxy")}
    print(table([plan(n, costs_ms, arguments.utilisation) for n in arguments.replicas]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
