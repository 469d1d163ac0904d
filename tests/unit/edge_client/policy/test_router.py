"""The policy fed by frames and calls, and what the settings make of it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.policy.decision import Why
from splitfer.edge_client.policy.router import Router, make_router
from splitfer.edge_client.policy.routes import IMAGE_ACCURACY_LOSS, IMAGE_LOG_LOSS, candidates
from splitfer.shared.contracts import AnswerPath, Reason
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import Manifest, Measured, RateEntry, Together

GAINS = (1.0,) * 8
CROWD, FER2013 = LabelSet


def said(
    accuracy: dict[str, float], log_loss: dict[str, float] | None = None
) -> dict[LabelSet, Measured]:
    return {FER2013: Measured(temperature=1.0, accuracy=accuracy, log_loss=log_loss or {})}


def call(took_s: float, server_ms: float = 4.0, failure: Reason | None = None) -> Any:
    return SimpleNamespace(
        sent_s=10.0,
        done_s=10.0 + took_s,
        wait=lambda _: True,
        failure=lambda: CallFailed(failure, "") if failure else None,
        result=lambda: SimpleNamespace(time=SimpleNamespace(total_ms=server_ms)),
    )


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The shipped weights with three measured rates."""
    shipped = Weights(default_folder()).manifest
    tail = shipped.default_tail
    rates = tuple(
        RateEntry(
            name=name, gains=GAINS, bytes_mean=size, answers={tail: said({"PublicTest": share})}
        )
        for name, size, share in (("high", 2600, 0.71), ("default", 1400, 0.7), ("low", 700, 0.69))
    )
    tails = {
        name: entry.model_copy(update={"answers": said({"PublicTest": 0.68, "Other": 0.5})})
        for name, entry in shipped.tails.items()
    }
    return shipped.model_copy(update={"rates": rates, "default_rate": "default", "tails": tails})


def router(manifest: Manifest, **settings: Any) -> Router:
    return make_router(EdgeConfig(server="a:1", **settings), manifest, "default")


def test_ways_have_their_measured_accuracy(manifest: Manifest) -> None:
    ways = {one.name: one.accuracy for one in candidates(manifest, image=True)}
    assert ways == {
        "local": 0.68,
        "cloud:high": 0.71,
        "cloud:default": 0.7,
        "cloud:low": 0.69,
        "image": pytest.approx(0.68 - IMAGE_ACCURACY_LOSS),
    }


def with_both(manifest: Manifest, losses: bool) -> Manifest:
    """Weights whose tails were measured together, and their log losses too if asked for."""
    tail, figures = (
        manifest.default_tail,
        {
            "high": (0.73, 0.86, 0.89),
            "default": (0.7, 0.9, 0.88),
            "low": (0.72, 0.87, 0.91),
        },
    )
    rates = tuple(
        one.model_copy(
            update={
                "answers": {
                    tail: said(
                        one.answers[tail][FER2013].accuracy,
                        {"PublicTest": figures[one.name][2]} if losses else {},
                    )
                },
                "together": {
                    tail: {
                        FER2013: Together(
                            accuracy={"PublicTest": figures[one.name][0]},
                            log_loss={"PublicTest": figures[one.name][1]},
                        )
                    }
                },
            }
        )
        for one in manifest.rates
    )
    tails = dict(manifest.tails)
    if losses:
        tails = {
            name: entry.model_copy(
                update={"answers": said(entry.answers[FER2013].accuracy, {"PublicTest": 0.89})}
            )
            for name, entry in tails.items()
        }
    return manifest.model_copy(update={"rates": rates, "tails": tails})


@pytest.mark.parametrize("losses", [False, True])
def test_both_answers_together_are_a_way_where_they_are_better(
    manifest: Manifest, losses: bool
) -> None:
    measured = with_both(manifest, losses)
    ways = {one.name: (one.together, one.merit) for one in candidates(measured, together=True)}
    assert ways == (
        {
            "local": (False, -0.89),
            "cloud:high": (True, -0.86),
            "cloud:default": (False, -0.88),
            "cloud:low": (True, -0.87),
        }
        if losses
        else {
            "local": (False, 0.68),
            "cloud:high": (True, 0.73),
            "cloud:default": (False, 0.7),
            "cloud:low": (True, 0.72),
        }
    )
    assert not any(one.together for one in candidates(measured))

    def asked(**settings: Any) -> set[bool]:
        ways = router(measured, **settings)._settings.candidates
        return {one.together for one in ways if one.rate == "low"}

    assert asked() == asked(policy="cascade") == {True}
    assert asked(objective="latency") == asked(objective="bytes") == {False}


def test_log_losses_count_where_all_ways_have_one(manifest: Manifest) -> None:
    measured = with_both(manifest, losses=True)
    ways = {one.name: one for one in candidates(measured, image=True)}
    assert ways["image"].log_loss == pytest.approx(0.89 + IMAGE_LOG_LOSS)
    accuracy = measured.tails["local"].answers[FER2013].accuracy
    local = measured.tails["local"].model_copy(update={"answers": said(accuracy)})
    some = measured.model_copy(update={"tails": {**measured.tails, "local": local}})
    assert {one.log_loss for one in candidates(some, image=True, together=True)} == {None}


def test_what_was_measured_is_that_of_the_label_set_in_use(manifest: Manifest) -> None:
    def with_crowd(of: dict[LabelSet, Measured]) -> dict[LabelSet, Measured]:
        better = Measured(temperature=1.0, accuracy={"PublicTest": 0.9}, log_loss={})
        return {CROWD: better, **of}

    tails = {
        name: entry.model_copy(update={"answers": with_crowd(entry.answers)})
        for name, entry in manifest.tails.items()
    }
    rates = tuple(
        one.model_copy(
            update={"answers": {name: with_crowd(of) for name, of in one.answers.items()}}
        )
        for one in manifest.rates
    )
    both = manifest.model_copy(update={"tails": tails, "rates": rates})
    assert {one.accuracy for one in candidates(both)} == {0.9}, "crowd is the default"
    assert candidates(both, label_set=FER2013) == candidates(manifest)
    ways = make_router(EdgeConfig(server="a:1"), both, "default", FER2013)._settings.candidates
    assert {one.accuracy for one in ways} == {one.accuracy for one in candidates(manifest)}


def test_a_rate_that_is_named_is_the_only_one(manifest: Manifest) -> None:
    assert [one.name for one in candidates(manifest, "low")] == ["local", "cloud:low"]


def test_without_measurements_the_server_is_taken_to_be_better(manifest: Manifest) -> None:
    rates = tuple(one.model_copy(update={"answers": {}}) for one in manifest.rates)
    ways = candidates(manifest.model_copy(update={"rates": rates}))
    accuracies = [one.accuracy for one in ways]
    assert accuracies[0] == min(accuracies)
    assert accuracies[1:] == sorted(accuracies[1:], reverse=True)


def test_shipped_weights_offer_their_rates() -> None:
    manifest = Weights(default_folder()).manifest
    names = [f"cloud:{one.name}" for one in manifest.rates]
    assert [one.name for one in candidates(manifest)] == ["local", *names]


@pytest.mark.parametrize(
    ("settings", "path", "before_search"),
    [
        ({}, None, False),
        ({"auto_image": True}, None, True),
        ({"policy": "cloud"}, "cloud:default", False),
        ({"policy": "local"}, "local", False),
        ({"policy": "image"}, "image", True),
        ({"policy": "cascade", "auto_image": True}, None, False),
    ],
)
def test_the_policy_decides_what_is_chosen_between(
    manifest: Manifest, settings: dict[str, Any], path: str | None, before_search: bool
) -> None:
    made = router(manifest, **settings)
    assert made.before_search is before_search
    made.next_frame()
    decision = made.choose(5.0, None if before_search else 1, 640 * 480, None)
    assert (decision.why is Why.CONFIGURED) == (path is not None)
    if path is not None:
        assert decision.chosen.name == path


def test_local_by_choice_has_no_reason_whatever_the_link_says(manifest: Manifest) -> None:
    assert router(manifest, policy="local").choose(5, 1, 9, Reason.LINK_DOWN).refusal is None
    assert router(manifest).choose(5, 1, 9, Reason.LINK_DOWN).refusal is Reason.LINK_DOWN


def test_policies_that_need_a_server_say_so() -> None:
    for policy in ("cloud", "image", "cascade"):
        with pytest.raises(ValueError, match="needs a server"):
            EdgeConfig(policy=policy)  # type: ignore[arg-type]
    assert EdgeConfig(policy="auto").effective_policy.value == "local"  # type: ignore[arg-type]


def test_what_calls_tell_is_learnt_with_the_next_frame(manifest: Manifest) -> None:
    made = router(manifest)
    made.sent(call(0.050), AnswerPath.CLOUD, 1400)
    assert made.estimates.costs().link is None
    made.next_frame()
    costs = made.estimates.costs()
    assert costs.link is not None
    assert costs.link.typical_ms(1400) == pytest.approx(46)
    assert costs.server[AnswerPath.CLOUD].typical_ms == 4


def test_what_calls_tell_can_be_learnt_before_the_next_frame(manifest: Manifest) -> None:
    made = router(manifest)
    made.sent(call(0.050), AnswerPath.CLOUD, 1400)
    made.learn()
    link = made.estimates.costs().link
    assert link is not None
    made.next_frame()
    made.learn()  # once
    assert made.estimates.costs().link is link


def test_what_an_outage_made_miss_is_forgotten_when_the_link_is_back(manifest: Manifest) -> None:
    made = router(manifest)
    made.sent(call(0.050), AnswerPath.CLOUD, 1400)
    for _ in range(3):
        made.sent(call(0.150, failure=Reason.DEADLINE), AnswerPath.CLOUD, 1400)
    made.next_frame()
    made.choose(5.0, 1, 1000, Reason.BREAKER_OPEN)
    down = made.estimates.costs().link
    assert down is not None
    assert down.missed > 0.5
    made.choose(5.0, 1, 1000, None)
    back = made.estimates.costs().link
    assert back is not None
    assert back.missed == 0
    assert back.typical_ms(1400) == pytest.approx(46)


def test_a_call_under_way_is_waited_for(manifest: Manifest) -> None:
    made, pending = router(manifest), call(0.05)
    pending.wait = lambda _: False
    made.sent(pending, AnswerPath.CLOUD, 1400)
    made.next_frame()
    assert made.estimates.costs().link is None
    pending.wait = lambda _: True
    made.next_frame()
    assert made.estimates.costs().link is not None


@pytest.mark.parametrize("server_ms", [math.nan, -5.0, 1e9])
def test_a_server_that_lies_about_its_time_is_not_believed(
    manifest: Manifest, server_ms: float
) -> None:
    made = router(manifest)
    made.sent(call(0.050, server_ms), AnswerPath.CLOUD, 1400)
    made.next_frame()
    link = made.estimates.costs().link
    assert link is not None
    assert link.typical_ms(1400) == pytest.approx(50)


@pytest.mark.parametrize(("failure", "timed"), [(Reason.DEADLINE, True), (Reason.LINK_DOWN, False)])
def test_only_a_timeout_tells_a_time(manifest: Manifest, failure: Reason, timed: bool) -> None:
    made = router(manifest)
    made.sent(call(0.1, failure=failure), AnswerPath.CLOUD, 1400)
    made.next_frame()
    assert (made.estimates.costs().link is not None) == timed


def test_the_report_counts_decisions(manifest: Manifest) -> None:
    made = router(manifest, policy="cloud")
    assert made.report() == {
        "decisions": {},
        "switches": 0,
        "tries": 0,
        "shadow": {"faces": 0, "agreement": None},
    }
    for _ in range(3):
        made.next_frame()
        assert made.decision is None
        made.choose(5, 1, 9, None)
    assert made.report()["decisions"] == {"cloud:default": 3}
