"""The capacity model against queues whose answers are known."""

import math
import random

import pytest

from benchmarks.serving.capacity import (
    Stage,
    bound,
    mean_wait_ms,
    needed,
    network_mbit_per_s,
    plan,
    table,
)


def test_the_first_full_stage_sets_the_bound() -> None:
    stages = {"ingress": Stage(0.5), "tail": Stage(2.0, 3)}
    assert bound(stages, cores=8).faces_per_s == 1500
    assert bound(stages, cores=8).by == "tail"
    more_tails = stages | {"tail": Stage(2.0, 10)}
    assert bound(more_tails, cores=16).by == "ingress"
    assert bound(more_tails, cores=16).faces_per_s == 2000


def test_stages_that_share_cores_share_their_bound() -> None:
    found = bound({"ingress": Stage(0.5, 4), "tail": Stage(2.0, 4)}, cores=2)
    assert (found.faces_per_s, found.by) == (800, "cores")


def test_what_a_rate_needs() -> None:
    assert needed(1000, 1.4, 0.7) == 2
    assert needed(1001, 1.4, 0.7) == 3
    assert needed(0, 1.4, 0.7) == 1


def test_one_process_waits_as_pollaczek_and_khinchine_say() -> None:
    # M/D/1: rho * s / (2 * (1 - rho)).
    assert mean_wait_ms(500, 1.0, 1) == pytest.approx(0.5)
    assert mean_wait_ms(900, 1.0, 1) == pytest.approx(4.5)
    assert mean_wait_ms(1000, 1.0, 1) == math.inf


def test_several_processes_wait_as_a_simulation_does() -> None:
    rng = random.Random(0)
    free_ms, at_ms, waited_ms, faces = [0.0] * 4, 0.0, 0.0, 100_000
    for _ in range(faces):
        at_ms += rng.expovariate(3.2)
        first = min(range(4), key=free_ms.__getitem__)
        start_ms = max(at_ms, free_ms[first])
        waited_ms += start_ms - at_ms
        free_ms[first] = start_ms + 1.0
    assert mean_wait_ms(3200, 1.0, 4) == pytest.approx(waited_ms / faces, rel=0.15)


def test_the_network_carries_both_ways() -> None:
    assert network_mbit_per_s(1000, 400, 100) == pytest.approx(4)


def test_a_plan_keeps_every_stage_below_its_share() -> None:
    costs_ms = {"tail": 2.0, "ingress": 1.0, "proxy": 0.3}
    for replicas in (10, 100):
        found = plan(replicas, costs_ms, 0.7)
        assert found["faces_per_s"] == pytest.approx(350 * replicas)
        for stage, ms in costs_ms.items():
            assert found["faces_per_s"] * ms / 1000 / found[stage] <= 0.7 + 1e-9
        assert f"| {replicas} |" in table([found])
