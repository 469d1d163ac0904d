"""The policy over links that step, ramp, flap, burst and break, in virtual time.

Ways, bytes and gains are the default weights'. Where their local tail leads, `auto` stays on the
device whatever the link; how it follows a link for accuracy's sake shows where the server's leads.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.link.simulated_link import (
    GOOD,
    OUT,
    SLOW,
    LinkNow,
    Trace,
    bursts,
    constant,
    flapping,
    ramp,
    step,
)
from benchmarks.link.simulation import FrameLog, SimulatedDevice, Simulation
from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.policy import PATIENCE, SWITCH_EVERY_S, SWITCHES, PolicySettings
from splitfer.edge_client.policy.prediction import Route
from splitfer.edge_client.policy.routes import candidates
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import Weights, default_folder

MANIFEST = Weights(default_folder()).manifest
FAST, WEAK, WEAKEST = (SimulatedDevice.measured().slower(factor) for factor in (1, 7, 20))
DEADLINES_MS = {FAST: 150.0, WEAK: 300.0, WEAKEST: 800.0}
TRACES = [
    constant("fast", LinkNow(1e6, 5, jitter_ms=0.5)),
    constant("far", LinkNow(250_000, 200, jitter_ms=10)),
    constant("narrow", LinkNow(12_500, 5, jitter_ms=0.5)),
    constant("middling", LinkNow(50_000, 50, jitter_ms=3)),
    constant("lossy", LinkNow(250_000, 20, loss=0.02, jitter_ms=2)),
    constant("jittery", LinkNow(250_000, 100, jitter_ms=200)),
    constant("half lost on the way", LinkNow(250_000, 20, dead=0.5)),
    ramp(1e6, 5e3),
    ramp(5e3, 1e6),
    step(GOOD, SLOW),
    step(SLOW, GOOD),
    step(GOOD, OUT),
    step(OUT, GOOD),
    bursts(GOOD, OUT),
    bursts(GOOD, SLOW),
    flapping(3, GOOD, SLOW),
    flapping(3, GOOD, OUT),
]
STEADY = TRACES[:5]


def ways(objective: Objective, image: bool, server_leads: bool) -> tuple[Route, ...]:
    """The default weights' ways as a device is offered them, or with a worse local tail."""
    local, *others = candidates(MANIFEST, image=image, together=objective is Objective.ACCURACY)
    if server_leads:
        losses = [one.log_loss for one in others if one.log_loss is not None]
        local = replace(
            local,
            accuracy=min(one.accuracy for one in others) - 0.01,
            log_loss=max(losses) + 0.01 if local.log_loss is not None else None,
        )
    return (local, *others)


def run(
    trace: Trace,
    device: SimulatedDevice,
    objective: Objective = Objective.ACCURACY,
    always: str | None = None,
    image: bool = False,
    cap: float | None = None,
    server_leads: bool = False,
) -> list[FrameLog]:
    settings = PolicySettings(
        ways(objective, image, server_leads), DEADLINES_MS[device], objective, max_bytes_per_s=cap
    )
    return Simulation(trace, device, settings, MANIFEST, always).run()


def names(image: bool = False) -> list[str]:
    return [one.name for one in ways(Objective.LATENCY, image, server_leads=False)]


def label(value: object) -> str:
    if isinstance(value, Trace):
        return f"{value.name}-{value.pieces[0][1].bytes_per_s:.0f}"
    return str(value) if isinstance(value, Objective) else "device"


def times_ms(logs: list[FrameLog]) -> list[float]:
    return [one.total_ms for one in logs]


def switches(logs: list[FrameLog]) -> int:
    return sum(a.decision.held != b.decision.held for a, b in pairwise(logs))


def first(logs: list[FrameLog], path: AnswerPath, after_s: float) -> FrameLog:
    """The first frame after ``after_s`` from which on the path in use is ``path``, tries apart."""
    return next(one for one in logs if one.at_s >= after_s and one.decision.held[:5] == path[:5])


@pytest.mark.parametrize("device", [FAST, WEAK], ids=["fast", "weak"])
@pytest.mark.parametrize("trace", TRACES, ids=label)
def test_no_frame_is_late_and_switches_and_tries_are_few(
    trace: Trace, device: SimulatedDevice
) -> None:
    for objective, server_leads in (
        (Objective.ACCURACY, False),
        (Objective.ACCURACY, True),
        (Objective.LATENCY, False),
    ):
        logs = run(trace, device, objective, server_leads=server_leads)
        assert max(times_ms(logs)) <= DEADLINES_MS[device]
        seconds = logs[-1].at_s - logs[0].at_s
        assert switches(logs) <= 2 * (SWITCHES + seconds / SWITCH_EVERY_S + 1)
        tried = [n for n, one in enumerate(logs) if one.probe]
        fps = len(logs) / seconds
        assert len(tried) <= len(logs) * (0.01 if fps >= 20 else 0.05) + 3
        for n in tried:
            assert logs[n].decision.refusal is None


@pytest.mark.parametrize("device", [WEAK, WEAKEST], ids=["weak", "weakest"])
@pytest.mark.parametrize("trace", TRACES, ids=label)
def test_latency_is_close_to_the_best_single_strategy(
    trace: Trace, device: SimulatedDevice, request: pytest.FixtureRequest
) -> None:
    if device is WEAKEST and trace.name == "flapping" and trace.pieces[1][1] == OUT:
        missed = "301 ms against 246 ms: a call that gets no answer costs such a device two answers"
        request.applymarker(pytest.mark.xfail(strict=True, reason=missed))
    singles = [times_ms(run(trace, device, Objective.LATENCY, always=name)) for name in names()]
    ours = times_ms(run(trace, device, Objective.LATENCY))
    if trace in STEADY:
        assert statistics.median(ours) <= 1.05 * min(map(statistics.median, singles))
    # A link that is good half of the time makes medians a matter of luck; a link that changes
    # faster than it can be known costs its tries.
    share = 1.05 if trace in STEADY else 1.1
    assert statistics.mean(ours) <= share * min(map(statistics.mean, singles))


@pytest.mark.parametrize("trace", STEADY, ids=label)
def test_with_whole_pictures_too(trace: Trace) -> None:
    singles = [
        statistics.median(times_ms(run(trace, WEAK, Objective.LATENCY, always=name, image=True)))
        for name in names(image=True)
    ]
    ours = statistics.median(times_ms(run(trace, WEAK, Objective.LATENCY, image=True)))
    assert ours <= 1.05 * min(singles)


@pytest.mark.parametrize("trace", TRACES, ids=label)
def test_a_frame_is_answered_by_what_was_measured_to_be_best_where_that_is_in_time(
    trace: Trace,
) -> None:
    best = max(ways(Objective.ACCURACY, image=False, server_leads=False), key=lambda one: one.merit)
    logs = run(trace, FAST)
    others = [
        one for one in logs if one.at_s > 5 and not one.probe and one.answered_by != best.path
    ]
    # Where it is the device's, no link is worth asking; a first try may have to be given up.
    if best is AnswerPath.LOCAL or trace.name == "fast":
        assert len(others) <= PATIENCE


def test_a_link_that_goes_bad_is_left_within_ten_frames() -> None:
    for bad in (SLOW, OUT, LinkNow(500_000, 300)):
        logs = run(step(GOOD, bad), FAST, server_leads=True)
        since = [one for one in logs if one.at_s >= 20]
        assert since[0].decision.held == "cloud:high"
        used = [n for n, one in enumerate(since[:60]) if one.decision.path is AnswerPath.CLOUD]
        assert len(used) <= 10


def test_a_link_that_gets_good_is_used_within_a_hundred_frames_and_six_seconds() -> None:
    for bad in (SLOW, LinkNow(500_000, 300)):
        logs = run(step(bad, GOOD), FAST, server_leads=True)
        at_s = first(logs, AnswerPath.CLOUD, 20.0).at_s
        assert len([one for one in logs if 20 <= one.at_s <= at_s]) <= 100 + 5
        assert at_s <= 26


def test_a_server_that_is_back_is_used_within_five_seconds() -> None:
    logs = run(step(OUT, GOOD), FAST, server_leads=True)
    assert next(one.at_s for one in logs if one.answered_by is AnswerPath.CLOUD) <= 25
    assert first(logs, AnswerPath.CLOUD, 20.0).at_s <= 25


@pytest.mark.parametrize(
    ("bytes_per_s", "name"),
    [
        (500_000, "cloud:high"),
        (10_000, "cloud:default"),
        pytest.param(
            7_000,
            "cloud:low",
            marks=pytest.mark.xfail(strict=True, reason="10 of 382 frames are the device's"),
        ),
        (2_000, "local"),
    ],
)
def test_the_rate_fits_the_link(bytes_per_s: float, name: str) -> None:
    logs = run(constant("", LinkNow(bytes_per_s, 10)), FAST, server_leads=True)
    assert {one.decision.held for one in logs if one.at_s > 10} == {name}


def test_accuracy_is_what_the_link_allows() -> None:
    def asked(trace: Trace) -> float:
        logs = run(trace, FAST, server_leads=True)
        return statistics.mean(one.answered_by is AnswerPath.CLOUD for one in logs)

    assert asked(constant("good", GOOD)) > 0.97
    assert asked(constant("far", LinkNow(250_000, 200))) < 0.02
    assert asked(bursts(GOOD, OUT)) > 0.25


@pytest.mark.parametrize("cap", [1_500.0, 5_000.0])
def test_the_cap_is_kept_and_used(cap: float) -> None:
    logs = run(constant("good", GOOD), FAST, cap=cap, server_leads=True)
    sent = sum(one.sent_bytes for one in logs)
    seconds = logs[-1].at_s - logs[0].at_s
    assert 0.7 * cap * seconds <= sent <= cap * (seconds + 1) + 1000
