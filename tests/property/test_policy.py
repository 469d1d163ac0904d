"""Whatever was observed, the policy decides, and decides alike."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.decision import Why
from splitfer.edge_client.policy.estimates import Cost, Costs, Estimates
from splitfer.edge_client.policy.link_fit import LinkFit, Sample, fit
from splitfer.edge_client.policy.policy import (
    FEWEST_PROBE_FRAMES,
    Memory,
    PolicySettings,
    charge,
    decide,
)
from splitfer.edge_client.policy.prediction import FrameFacts, Route, predict
from splitfer.shared.contracts import AnswerPath, Reason
from tests.property import prediction_reference

CANDIDATES = (
    Route(AnswerPath.LOCAL, 0.68),
    Route(AnswerPath.CLOUD, 0.71, "high"),
    Route(AnswerPath.CLOUD, 0.69, "low"),
    Route(AnswerPath.IMAGE, 0.70),
)
# While the server answers, the device does too.
TOGETHER = tuple(replace(one, together=one.path is AnswerPath.CLOUD) for one in CANDIDATES)
RATES = {"high": 2600.0, "low": 700.0}

ms = st.floats(0, 5000)
sizes = st.integers(1, 200_000)
faces = st.integers(1, 32)
paths = st.sampled_from([AnswerPath.CLOUD, AnswerPath.IMAGE])
objectives = st.sampled_from(list(Objective))
observations = st.one_of(
    st.tuples(st.just("found"), ms, ms, faces),
    st.tuples(st.just("answered"), ms, faces),
    st.tuples(st.just("encoded"), st.sampled_from(sorted(RATES)), ms, sizes, faces),
    st.tuples(st.just("pictured"), ms, sizes, st.integers(1, 16_000_000)),
    st.tuples(st.just("replied"), paths, sizes, ms, ms),
    st.tuples(st.just("failed"), sizes, st.one_of(st.none(), ms)),
)
frames = st.builds(
    FrameFacts,
    elapsed_ms=ms,
    faces=st.integers(0, 32),
    pixels=st.integers(1, 16_000_000),
    searched=st.booleans(),
    answered=st.booleans(),
)
all_settings = st.builds(
    PolicySettings,
    st.sampled_from([CANDIDATES, TOGETHER]),
    deadline_ms=st.floats(1, 60_000),
    objective=objectives,
    min_accuracy=st.floats(0, 1),
    max_bytes_per_s=st.one_of(st.none(), st.floats(1, 1e6)),
    shadow_share=st.floats(0, 1),
)
moments = st.tuples(
    st.floats(0, 5),
    st.lists(observations, max_size=4),
    frames,
    st.sampled_from([None, *Reason]),
)


@given(st.lists(moments, max_size=30), all_settings)
def test_any_observations_give_a_decision_that_can_be_explained(
    happened: list[tuple[float, list[tuple[object, ...]], FrameFacts, Reason | None]],
    by: PolicySettings,
) -> None:
    estimates, memory, now_s = Estimates(RATES), Memory(), 0.0
    since_trial = FEWEST_PROBE_FRAMES
    for passed_s, seen, frame, refusal in happened:
        now_s += passed_s
        estimates.next_frame()
        for name, *values in seen:
            clock = {"now_s": now_s} if name in ("replied", "failed") else {}
            getattr(estimates, str(name))(*values, **clock)
        before, costs = memory, estimates.costs()
        fresh = estimates._costs_of_calls()._replace(
            detect=costs.detect, head=costs.head, tail=costs.tail
        )
        assert costs == fresh  # what is kept of calls is not old
        decision, memory = decide(costs, frame, by, before, now_s, refusal)

        assert (decision, memory) == decide(costs, frame, by, before, now_s, refusal)
        assert decision.chosen in by.candidates
        assert decision.path is AnswerPath.LOCAL or refusal is None
        assert decision.path is not AnswerPath.IMAGE or not frame.searched
        json.dumps(decision.record(), allow_nan=False)
        if decision.probe is not None:
            assert refusal is None
            assert since_trial >= FEWEST_PROBE_FRAMES or now_s == 0
            since_trial = 0
        # What is learnt while the link refuses is that it is to be tried again.
        since_trial = FEWEST_PROBE_FRAMES if refusal else since_trial + 1
        for one in decision.predictions:
            if one.candidate == decision.chosen and decision.path is not AnswerPath.LOCAL:
                assert one.barred is None or decision.why is Why.TRIAL
                memory = charge(memory, one.sent_bytes)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.floats(0, 9), sizes, st.one_of(st.none(), ms)), max_size=40
    )
)
def test_any_replies_give_a_line_that_makes_sense(
    replies: list[tuple[int, float, int, float | None]],
) -> None:
    samples, frame, now_s = [], 0, 0.0
    for frames_later, later_s, size, link_ms in replies:
        frame, now_s = frame + frames_later, now_s + later_s
        samples.append(Sample(frame, now_s, size, link_ms, missed=link_ms is None))
    line = fit(samples)
    if line is None:
        assert all(one.link_ms is None for one in samples)
        return
    assert 0 <= line.missed <= 1
    for size in (0, 1, 1000, 10**6):
        assert 0 <= line.hopeful_ms(size) <= line.typical_ms(size)
        assert math.isfinite(line.typical_ms(size) + line.margin_ms(size))
    assert line.typical_ms(1000) <= line.typical_ms(2000)


links = st.builds(
    LinkFit,
    rtt_ms=st.floats(0, 500),
    ms_per_byte=st.floats(0, 0.2),
    deviation_ms=st.floats(0, 50),
    missed=st.floats(0, 1),
)
times = st.floats(0.1, 300).map(lambda typical: Cost(typical, 1.2 * typical))


@given(
    links,
    links,
    objectives,
    st.floats(0.6, 0.75),
    st.floats(20, 1000),
    frames,
    st.tuples(times, times, times, times, times),
    st.sampled_from([one.name for one in CANDIDATES]),
    st.integers(0, 5),
)
def test_a_slower_link_never_makes_sending_more_attractive(
    link: LinkFit,
    more: LinkFit,
    objective: Objective,
    min_accuracy: float,
    deadline_ms: float,
    frame: FrameFacts,
    stages: tuple[Cost, Cost, Cost, Cost, Cost],
    held: str,
    beaten: int,
) -> None:
    slower = LinkFit(
        link.rtt_ms + more.rtt_ms,
        link.ms_per_byte + more.ms_per_byte,
        deviation_ms=link.deviation_ms + more.deviation_ms,
        missed=max(link.missed, more.missed),
    )
    detect, head, tail, cloud, image = stages
    server = {AnswerPath.CLOUD: cloud, AnswerPath.IMAGE: image}
    fast = Costs(detect, head, tail, payload_bytes=RATES, link=link, server=server)
    by = PolicySettings(CANDIDATES, deadline_ms, objective, min_accuracy)
    memory = Memory(current=held, losses_in_row=beaten, frames_since_trial=0)
    over_slow, _ = decide(fast._replace(link=slower), frame, by, memory, 1.0)
    over_fast, _ = decide(fast, frame, by, memory, 1.0)
    if over_slow.path is not AnswerPath.LOCAL and over_slow.why is not Why.HELD:
        assert over_fast.path is not AnswerPath.LOCAL


costs_at = st.builds(
    Costs,
    **dict.fromkeys(("detect", "head", "tail", "jpeg", "collect"), st.builds(Cost, ms, ms)),
    encode=st.dictionaries(st.sampled_from(sorted(RATES)), st.builds(Cost, ms, ms)),
    payload_bytes=st.fixed_dictionaries({rate: st.floats(1, 1e5) for rate in RATES}),
    bytes_per_pixel=st.floats(0.001, 3),
    link=st.none()
    | st.builds(
        LinkFit, ms, st.floats(0, 1), st.floats(0, 1), ms, st.floats(0, 1e5), st.floats(0, 1)
    ),
    server=st.dictionaries(paths, st.builds(Cost, ms, ms)),
)


@given(
    costs_at, frames, st.floats(1, 60_000), st.booleans(), st.sampled_from([CANDIDATES, TOGETHER])
)
def test_predictions_are_those_of_the_literal_reference(
    costs: Costs,
    frame: FrameFacts,
    deadline_ms: float,
    hopeful: bool,
    ways: tuple[Route, ...],
) -> None:
    fast = predict(ways, costs, frame, deadline_ms, hopeful)
    slow = prediction_reference.predict(ways, costs, frame, deadline_ms, hopeful)
    assert list(fast) == list(slow)
    for name, one in slow.items():
        assert fast[name].candidate == one.candidate
        assert fast[name].barred == one.barred
        assert fast[name][1:-1] == pytest.approx(one[1:-1], rel=1e-9, abs=1e-6)
