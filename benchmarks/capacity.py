"""A capacity model: how many faces a second a deployment answers, and what a rate needs.

    call -> proxy (one a node) -> ingress replica -> tail replica

Each stage has a cost, processor time a face, and a number of processes, each of one core at most. A
rate is bounded by the first stage that is full, and by all of them together where they share cores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


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
    """What callers send and get; inside the cluster each byte travels up to twice more."""
    return faces_per_s * (up_bytes + down_bytes) * 8 / 1e6
