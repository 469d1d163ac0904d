"""Which path a frame takes, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.decision import Why
from splitfer.edge_client.policy.link_fit import LinkFit
from splitfer.edge_client.policy.policy import (
    PATIENCE,
    PROBE_FRAMES,
    SWITCHES,
    Memory,
    charge,
    decide,
    shadow_due,
)
from splitfer.edge_client.policy.prediction import FrameFacts
from splitfer.shared.contracts import AnswerPath, Reason
from tests.unit.edge_client.policy.policies import (
    FRAME,
    HIGH,
    IMAGE,
    LOCAL,
    LOW,
    SETTINGS,
    costs,
    settings,
    settled,
)

QUIET = Memory(frames_since_trial=0)
USING_HIGH = QUIET._replace(current=HIGH.name)
DEAD = LinkFit(500, 0.1, deviation_ms=20, mean_bytes=1000)


def test_accuracy_takes_the_most_accurate_that_is_in_time() -> None:
    assert settled(costs(), SETTINGS).chosen == HIGH
    slow = LinkFit(20, 0.025, deviation_ms=1, mean_bytes=1000)  # high 85 ms, low 38 ms
    decision = settled(costs(link=slow), SETTINGS)
    assert (decision.chosen, decision.why) == (LOW, Why.MOST_ACCURATE)
    assert settled(costs(link=DEAD), SETTINGS).chosen == LOCAL


def test_a_cloud_that_is_no_more_accurate_is_not_asked() -> None:
    same = replace(HIGH, accuracy=LOCAL.accuracy + 0.0005)
    assert settled(costs(), replace(SETTINGS, candidates=(LOCAL, same))).chosen == LOCAL


def test_where_none_is_in_time_the_fastest_answers() -> None:
    late = FrameFacts(elapsed_ms=160, faces=1, pixels=1)
    decision = settled(costs(), SETTINGS, late)
    assert (decision.chosen, decision.why) == (LOCAL, Why.NONE_IN_TIME)


def test_a_device_too_slow_for_the_deadline_asks_the_server() -> None:
    assert settled(costs(tail_ms=400), SETTINGS).chosen == HIGH


def test_latency_takes_the_fastest() -> None:
    fastest = settings(Objective.LATENCY)
    assert settled(costs(tail_ms=10), fastest).chosen == LOCAL
    assert settled(costs(tail_ms=60), fastest).chosen == LOW


def test_calls_that_get_no_answer_count_as_slow() -> None:
    fastest = settings(Objective.LATENCY)
    assert settled(costs(tail_ms=45), fastest).chosen == LOW
    assert settled(costs(tail_ms=45, missed=0.4), fastest).chosen == LOCAL
    assert settled(costs(missed=0.4), SETTINGS).chosen == LOCAL


def test_bytes_takes_the_fewest_that_are_accurate_enough() -> None:
    assert settled(costs(), settings(Objective.BYTES, min_accuracy=0.68)).chosen == LOCAL
    assert settled(costs(), settings(Objective.BYTES, min_accuracy=0.685)).chosen == LOW
    assert settled(costs(), settings(Objective.BYTES, min_accuracy=0.70)).chosen == HIGH
    assert settled(costs(), settings(Objective.BYTES, min_accuracy=0.99)).chosen == HIGH


def test_more_faces_take_more_bytes_and_time() -> None:
    crowd = FRAME._replace(faces=12)
    assert settled(costs(tail_ms=2), SETTINGS, crowd).chosen == LOCAL


def test_image_saves_the_search_and_is_no_choice_after_it() -> None:
    by = settings(Objective.LATENCY, candidates=(LOCAL, LOW, IMAGE))
    weak = costs(tail_ms=100)._replace(detect=costs(tail_ms=80).tail, head=costs(tail_ms=60).tail)
    fast = LinkFit(5, 0.001, deviation_ms=1, mean_bytes=1000)
    weak = weak._replace(link=fast)
    assert settled(weak, by, FRAME._replace(elapsed_ms=0, searched=False)).chosen == IMAGE
    assert settled(weak, by, FRAME).chosen == LOW


def test_it_changes_its_mind_only_after_the_same_verdict_in_a_row() -> None:
    memory, chosen = QUIET, []
    for n in range(PATIENCE):
        decision, memory = decide(costs(), FRAME, SETTINGS, memory, n / 15)
        chosen.append((decision.chosen, decision.why))
    assert chosen == [(LOCAL, Why.HELD)] * (PATIENCE - 1) + [(HIGH, Why.MOST_ACCURATE)]


def test_what_cannot_be_in_time_is_left_at_once() -> None:
    decision, _ = decide(costs(link=DEAD), FRAME, SETTINGS, USING_HIGH, 0.0)
    assert decision.chosen == LOCAL


def test_changes_are_limited_and_the_way_home_is_open() -> None:
    memory, changes = QUIET, 0
    for n in range(1000):
        # As unkind as can be: good for long enough to be believed, then dead.
        link = None if n % 8 < 5 else DEAD
        before = memory.current
        decision, memory = decide(costs(link=link), FRAME, SETTINGS, memory, n / 100)
        changes += memory.current != before
        if link is DEAD and decision.why is not Why.TRIAL:
            assert decision.chosen == LOCAL
    assert changes <= 2 * (SWITCHES + 10 / 5 + 1)


def test_a_refusing_link_is_not_asked_nor_tried_and_is_no_verdict_on_the_path() -> None:
    memory = USING_HIGH
    for n in range(300):
        decision, memory = decide(
            costs(), FRAME, SETTINGS, memory, n / 15, refusal=Reason.BREAKER_OPEN
        )
        assert (decision.chosen, decision.why, decision.probe) == (LOCAL, Why.REFUSED, None)
        assert decision.refusal is Reason.BREAKER_OPEN
    decision, _ = decide(costs(), FRAME, SETTINGS, memory, 20.0)
    assert decision.chosen == HIGH


def test_an_unknown_link_is_tried_with_the_first_frame() -> None:
    unknown = costs()._replace(link=None, server={})
    decision, memory = decide(unknown, FRAME, SETTINGS, Memory(), 0.0)
    assert (decision.chosen, decision.why, decision.probe) == (HIGH, Why.TRIAL, HIGH)
    decision, _ = decide(unknown, FRAME, SETTINGS, memory, 0.1)
    assert (decision.chosen, decision.probe) == (LOCAL, None)


def test_on_local_the_smallest_payload_is_sent_beside_now_and_then() -> None:
    memory, probes = QUIET, []
    for n in range(10 * PROBE_FRAMES):
        decision, memory = decide(costs(link=DEAD), FRAME, SETTINGS, memory, n / 30)
        assert decision.chosen == LOCAL
        if decision.probe:
            probes.append(decision.probe)
    assert set(probes) == {LOW}
    assert 8 <= len(probes) <= 10


def test_a_rate_that_may_be_in_time_after_all_is_tried_in_its_place() -> None:
    # All that is known are small payloads: how long a large one takes is a guess.
    guess = LinkFit(20, 0.03, ms_per_byte_sd=0.02, deviation_ms=1, mean_bytes=700)
    memory = Memory(current=LOW.name)
    decision, memory = decide(costs(link=guess), FRAME, SETTINGS, memory, 0.0)
    assert (decision.chosen, decision.why, decision.held) == (HIGH, Why.TRIAL, LOW.name)
    decision, _ = decide(costs(link=guess), FRAME, SETTINGS, memory, 0.1)
    assert decision.chosen == LOW


def test_a_picture_that_would_block_the_link_is_not_tried() -> None:
    by = settings(Objective.LATENCY, candidates=(LOCAL, LOW, IMAGE))
    guess = LinkFit(50, 0.08, ms_per_byte_sd=0.08, deviation_ms=1, mean_bytes=700)
    weak = costs(tail_ms=100, link=guess)._replace(detect=costs(tail_ms=300).tail)
    frame = FRAME._replace(elapsed_ms=0, searched=False)
    decision, _ = decide(weak, frame, by, Memory(current=LOW.name), 0.0)
    assert decision.probe != IMAGE


def test_the_cap_holds_and_the_path_stays() -> None:
    by = replace(SETTINGS, max_bytes_per_s=5000)
    memory, sent = USING_HIGH, 0
    seconds = 20
    for n in range(15 * seconds):
        decision, memory = decide(costs(), FRAME, by, memory, n / 15)
        if decision.path is not AnswerPath.LOCAL:
            size = {HIGH: 2600, LOW: 700}[decision.chosen]
            memory, sent = charge(memory, size), sent + size
        else:
            assert decision.why is Why.CAPPED
        assert memory.current == HIGH.name
    assert 0.8 * 5000 * seconds < sent <= 5000 * (seconds + 1)


def test_a_payload_larger_than_a_second_of_the_cap_is_never_sent() -> None:
    by = replace(SETTINGS, candidates=(LOCAL, HIGH), max_bytes_per_s=2000)
    for n in range(200):
        decision, _ = decide(costs(), FRAME, by, Memory(), n / 15)
        assert (decision.chosen, decision.probe) == (LOCAL, None)


def test_after_the_local_answer_the_server_may_take_until_the_deadline() -> None:
    slow = LinkFit(90, 0.001, deviation_ms=1, mean_bytes=1000)
    assert settled(costs(link=slow), SETTINGS).chosen == LOCAL
    answered = FRAME._replace(elapsed_ms=25, answered=True)
    assert settled(costs(link=slow), SETTINGS, answered).chosen == HIGH


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_shadows_are_the_asked_share_spread_evenly(share: float) -> None:
    due = [n for n in range(1000) if shadow_due(n, share)]
    assert len(due) == pytest.approx(1000 * share, abs=1)
    if due:
        assert max(b - a for a, b in pairwise(due)) <= 1 / share + 1


def test_only_frames_that_ask_the_server_have_a_shadow() -> None:
    memory, shadows = USING_HIGH, 0
    for n in range(300):
        decision, memory = decide(costs(), FRAME, SETTINGS, memory, n / 15)
        shadows += decision.shadow
    assert shadows == 3


def test_the_record_explains_every_candidate() -> None:
    decision, _ = decide(costs(), FRAME, SETTINGS, USING_HIGH, 0.0, Reason.BREAKER_OPEN)
    record = json.loads(json.dumps(decision.record()))
    assert record["chosen"] == "local"
    assert record["why"] == "refused"
    assert record["predictions"]["cloud:high"]["barred"] == "breaker_open"
    assert set(record["predictions"]) == {"local", "cloud:high", "cloud:low"}


def test_only_the_first_frame_of_all_waits_for_a_link_that_nothing_is_known_of() -> None:
    unknown = costs()._replace(link=None)
    first, memory = decide(unknown, FRAME, SETTINGS, Memory(), 0.0)
    assert (first.path, first.why) == (AnswerPath.CLOUD, Why.TRIAL)
    # The link was down, and is up again: what was missed on it is forgotten.
    memory = memory._replace(frames_since_trial=PROBE_FRAMES, current=LOCAL.name)
    again, memory = decide(unknown, FRAME, SETTINGS, memory, 1.0)
    assert again.path is AnswerPath.LOCAL
    assert again.probe is not None
    assert memory.current == LOCAL.name
