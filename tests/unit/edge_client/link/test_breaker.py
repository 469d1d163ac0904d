"""The link's states: what may be sent, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.link import breaker as machine
from splitfer.edge_client.link.breaker import FAILURES_TO_OPEN, LONGEST_WAIT_S, Breaker, LinkState
from splitfer.shared.contracts import Reason

READY = Breaker(LinkState.READY)


def fail(breaker: Breaker, times: int, cause: Reason = Reason.LINK_DOWN) -> Breaker:
    for _ in range(times):
        breaker = machine.call_failed(breaker, cause, now_s=0.0, jitter=0.0)
    return breaker


def test_a_link_that_was_never_up_is_down_and_is_tried_at_once() -> None:
    assert Breaker().refusal is Reason.LINK_DOWN
    assert Breaker().probe_due(0.0)


def test_a_few_failures_in_a_row_open_the_breaker() -> None:
    assert fail(READY, FAILURES_TO_OPEN - 1).refusal is None
    opened = fail(READY, FAILURES_TO_OPEN)
    assert opened.state is LinkState.OPEN
    assert opened.refusal is Reason.BREAKER_OPEN


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = READY
    for _ in range(10):
        breaker = machine.call_succeeded(fail(breaker, FAILURES_TO_OPEN - 1))
    assert breaker.state is LinkState.READY


def test_other_weights_open_it_at_once_and_stay_the_reason() -> None:
    opened = fail(READY, 1, Reason.MODEL_MISMATCH)
    assert opened.state is LinkState.OPEN
    assert opened.refusal is Reason.MODEL_MISMATCH
    probed = machine.handshake_failed(
        machine.probe_started(opened), Reason.MODEL_MISMATCH, now_s=1.0, jitter=0.5
    )
    assert probed.refusal is Reason.MODEL_MISMATCH


def test_a_mismatch_that_became_an_outage_is_told_as_one() -> None:
    mismatch = machine.handshake_failed(Breaker(), Reason.MODEL_MISMATCH, 0.0, 0.0)
    down = machine.handshake_failed(mismatch, Reason.LINK_DOWN, 5.0, 0.0)
    assert down.refusal is Reason.LINK_DOWN


def test_one_handshake_makes_it_ready_again() -> None:
    half_open = machine.probe_started(fail(READY, FAILURES_TO_OPEN))
    assert half_open.state is LinkState.HALF_OPEN
    assert not half_open.probe_due(1e9)
    assert machine.handshake_succeeded(half_open) == READY


def test_failures_of_calls_from_before_the_opening_change_nothing() -> None:
    opened = fail(READY, FAILURES_TO_OPEN)
    assert fail(opened, 5) == opened


events = st.lists(
    st.tuples(
        st.sampled_from(["call_ok", "call_failed", "probe", "shake_ok", "shake_failed"]),
        st.sampled_from(list(Reason)),
        st.floats(0, 3),
        st.floats(0, 1),
    ),
    max_size=60,
)


@given(events)
def test_whatever_happens_it_is_tried_again_soon_and_used_only_after_a_handshake(
    happened: list[tuple[str, Reason, float, float]],
) -> None:
    breaker, now_s = Breaker(), 0.0
    shaken = False
    for event, reason, passed_s, jitter in happened:
        now_s += passed_s
        before = breaker
        match event:
            case "call_ok":
                breaker = machine.call_succeeded(breaker)
            case "call_failed":
                breaker = machine.call_failed(breaker, reason, now_s, jitter)
            case "probe" if breaker.probe_due(now_s):
                breaker = machine.probe_started(breaker)
            # A handshake ends only where one was started.
            case "shake_ok" if before.state in (LinkState.HALF_OPEN, LinkState.CONNECTING):
                breaker, shaken = machine.handshake_succeeded(breaker), True
            case "shake_failed" if before.state in (LinkState.HALF_OPEN, LinkState.CONNECTING):
                breaker = machine.handshake_failed(breaker, reason, now_s, jitter)
        assert (breaker.refusal is None) == (breaker.state is LinkState.READY)
        assert breaker.failures < FAILURES_TO_OPEN
        assert shaken or breaker.state is LinkState.CONNECTING
        if breaker.state in (LinkState.OPEN, LinkState.CONNECTING):
            assert breaker.probe_due(now_s + LONGEST_WAIT_S)
