"""How `auto` chooses the path of each frame.

    estimates --costs--> predictions --objective--> best --patience, switches, cap--> decision
                                                     |
                                         now and then another path is tried

``decide`` is a pure function of (costs, frame, settings, memory, now). It changes its mind only
after the same verdict ``PATIENCE`` times in a row, and a limited number of times per minute; the
way to `local` is always open. A path that is not used is tried on one frame in ``PROBE_FRAMES``,
never while the link refuses, and always with the device's own answer behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from splitfer.edge_client.choices import Objective
from splitfer.edge_client.policy.decision import Decision, Why
from splitfer.edge_client.policy.estimates import Costs
from splitfer.edge_client.policy.link_fit import LinkFit
from splitfer.edge_client.policy.prediction import FrameFacts, Prediction, Route, predict
from splitfer.shared.contracts import AnswerPath, Reason

# Frames in a row that another candidate must be the better one.
PATIENCE = 3
# Better by less than this share of the time, or less than this accuracy or log loss, is not better.
LEAST_GAIN = 0.02
LEAST_MERIT_GAIN = 0.001
# Of the deadline: what a candidate that is not in use must have to spare to count as in time.
ENTRY_SPARE_SHARE = 0.05
# One frame in so many is tried another way. A slow device takes long for so many frames: there
# so many seconds are enough, but never more than one frame in twenty.
PROBE_FRAMES = 100
PROBE_S = 5.0
FEWEST_PROBE_FRAMES = 20
# So many changes at once, then one more each so many seconds; changes to `local` do not count.
SWITCHES = 4.0
SWITCH_EVERY_S = 5.0
# Words of `barred`, beside the link's reasons.
CAP, UNKNOWN = "cap", "unknown"


@dataclass(frozen=True)
class PolicySettings:
    """What to choose between, and by what. ``candidates`` begin with `local`."""

    candidates: tuple[Route, ...]
    deadline_ms: float
    objective: Objective = Objective.ACCURACY
    min_accuracy: float = 0.0
    max_bytes_per_s: float | None = None
    shadow_share: float = 0.01


class Bucket(NamedTuple):
    """Tokens that come back with time."""

    level: float
    at_s: float | None = None

    def at(self, now_s: float, per_s: float, most: float) -> Bucket:
        """The bucket as it stands now."""
        passed_s = max(0.0, now_s - self.at_s) if self.at_s is not None else 0.0
        return Bucket(min(most, self.level + passed_s * per_s), now_s)

    def less(self, tokens: float) -> Bucket:
        """With so many taken out; it may be overdrawn."""
        return self._replace(level=self.level - tokens)


class Memory(NamedTuple):
    """What one decision leaves to the next. ``current`` is the name of the candidate in use,
    ``losses_in_row`` for how many frames another was better; the cap's ``bytes`` start full."""

    current: str = AnswerPath.LOCAL.value
    losses_in_row: int = 0
    switches: Bucket = Bucket(SWITCHES)
    bytes: Bucket | None = None
    frames_since_trial: int = PROBE_FRAMES
    trial_at_s: float = 0.0
    trials: int = 0
    asked: int = 0


def decide(
    costs: Costs,
    frame: FrameFacts,
    settings: PolicySettings,
    memory: Memory,
    now_s: float,
    refusal: Reason | None = None,
) -> tuple[Decision, Memory]:
    """The path of one frame, and the memory for the next. ``refusal``: the link's, if any."""
    memory = memory._replace(frames_since_trial=memory.frames_since_trial + 1)
    memory = _refilled(memory, settings, now_s)
    deadline_ms = settings.deadline_ms
    if refusal is not None:  # once it ends, whatever was known is old
        memory = memory._replace(frames_since_trial=PROBE_FRAMES)
    predictions = {
        name: _barred(one, memory, refusal)
        for name, one in predict(settings.candidates, costs, frame, deadline_ms).items()
    }
    local = settings.candidates[0]
    held = predictions.get(memory.current) or predictions[local.name]
    best, why = _best(predictions, settings, held.candidate.name)
    chosen, why, memory = _change(held, best, why, settings, memory, now_s)

    probe = None
    if refusal is None and _trial_due(memory, now_s):
        hopeful = predict(settings.candidates, costs, frame, deadline_ms, hopeful=True)
        probe = _trial(chosen, predictions, hopeful, costs.link, settings, memory.trials)
        if probe is not None:
            memory = memory._replace(
                frames_since_trial=0, trial_at_s=now_s, trials=memory.trials + 1
            )
            # Once: a link that gave no answer before is tried beside the device's own.
            unknown = costs.link is None and memory.trials == 1
            if chosen.path is not AnswerPath.LOCAL or unknown:
                chosen, why = probe, Why.TRIAL
            if unknown:  # it stays in use if it turns out well
                memory = memory._replace(current=probe.name)
    shadow = False
    if chosen.path is AnswerPath.CLOUD and not frame.answered:
        shadow = shadow_due(memory.asked, settings.shadow_share)
        memory = memory._replace(asked=memory.asked + 1)
    decision = Decision(
        chosen,
        why,
        memory.current,
        settings.objective,
        frame,
        tuple(predictions.values()),
        probe,
        shadow,
        refusal,
    )
    return decision, memory


def charge(memory: Memory, sent_bytes: int) -> Memory:
    """So many bytes were sent: they count against the cap."""
    return memory._replace(bytes=memory.bytes.less(sent_bytes)) if memory.bytes else memory


def shadow_due(count: int, share: float) -> bool:
    """Whether the ``count``-th event, from 0, is one of the evenly spread ``share`` (0..1)."""
    return int((count + 1) * share) > int(count * share)


def _refilled(memory: Memory, settings: PolicySettings, now_s: float) -> Memory:
    cap = settings.max_bytes_per_s
    if cap is None:
        return memory
    return memory._replace(bytes=(memory.bytes or Bucket(cap)).at(now_s, cap, cap))


def _barred(one: Prediction, memory: Memory, refusal: Reason | None) -> Prediction:
    if one.candidate.path is AnswerPath.LOCAL:
        return one
    if refusal is not None:
        return one._replace(barred=refusal.value)
    if memory.bytes is not None and one.sent_bytes > memory.bytes.level:
        return one._replace(barred=CAP)
    return one


def _best(
    predictions: Mapping[str, Prediction], settings: PolicySettings, held: str
) -> tuple[Route, Why]:
    """The best candidate by the objective; the one in use has the benefit of the doubt."""
    able = [one for one in predictions.values() if one.barred is None]

    def slowness(one: Prediction) -> float:
        return one.expected_ms * (1 - LEAST_GAIN * (one.candidate.name == held))

    if settings.objective is Objective.LATENCY:
        return min(able, key=slowness).candidate, Why.FASTEST
    spare_ms = ENTRY_SPARE_SHARE * settings.deadline_ms
    in_time = [one for one in able if one.in_time(0.0 if one.candidate.name == held else spare_ms)]
    if not in_time:
        return min(able, key=slowness).candidate, Why.NONE_IN_TIME
    if settings.objective is Objective.BYTES:
        enough = [one for one in in_time if one.candidate.accuracy >= settings.min_accuracy]
        if enough:
            best = min(enough, key=lambda one: (one.sent_bytes, slowness(one)))
            return best.candidate, Why.FEWEST_BYTES
    enough_merit = max(one.candidate.merit for one in in_time) - LEAST_MERIT_GAIN
    best = min((one for one in in_time if one.candidate.merit >= enough_merit), key=slowness)
    return best.candidate, Why.MOST_ACCURATE


def _change(
    held: Prediction,
    best: Route,
    why: Why,
    settings: PolicySettings,
    memory: Memory,
    now_s: float,
) -> tuple[Route, Why, Memory]:
    """From the candidate in use to the best one, if it is time."""
    if held.barred is not None:  # for this frame: that is no verdict on the path
        return best, {CAP: Why.CAPPED, UNKNOWN: why}.get(held.barred, Why.REFUSED), memory
    if best == held.candidate:
        if memory.losses_in_row or memory.current != best.name:
            memory = memory._replace(current=best.name, losses_in_row=0)
        return best, why, memory
    memory = memory._replace(current=held.candidate.name, losses_in_row=memory.losses_in_row + 1)
    useless = settings.objective is not Objective.LATENCY and not held.in_time()
    if memory.losses_in_row < PATIENCE and not useless:
        return held.candidate, Why.HELD, memory
    local = settings.candidates[0]
    switches = memory.switches.at(now_s, 1 / SWITCH_EVERY_S, SWITCHES)
    if best != local and switches.level < 1:
        if not useless or held.candidate == local:
            return held.candidate, Why.SWITCH_LIMIT, memory
        best, why = local, Why.SWITCH_LIMIT
    if best != local:
        memory = memory._replace(switches=switches.less(1))
    return best, why, memory._replace(current=best.name, losses_in_row=0)


def _trial_due(memory: Memory, now_s: float) -> bool:
    frames, seconds = memory.frames_since_trial, now_s - memory.trial_at_s
    return frames >= PROBE_FRAMES or (frames >= FEWEST_PROBE_FRAMES and seconds >= PROBE_S)


def _trial(
    chosen: Route,
    predictions: Mapping[str, Prediction],
    hopeful: Mapping[str, Prediction],
    link: LinkFit | None,
    settings: PolicySettings,
    trials: int,
) -> Route | None:
    """What to try now: what may be better than is known; on `local` two times of three the
    smallest payload, which tells most surely that a link has become good."""
    able = {
        name: one for name, one in hopeful.items() if predictions[name].barred in (None, UNKNOWN)
    }
    small = [one for one in able.values() if one.candidate.path is AnswerPath.CLOUD]
    if chosen.path is AnswerPath.LOCAL and link is not None and trials % 3 and small:
        return min(small, key=lambda one: one.sent_bytes).candidate
    wish, _ = _best(able, settings, chosen.name)
    if wish.path is not AnswerPath.LOCAL and wish != chosen:
        # Nothing far too big for the link as it is known: it would hold up what comes after it.
        link_ms = link.typical_ms(predictions[wish.name].sent_bytes) if link else 0.0
        if link_ms <= settings.deadline_ms:
            return wish
    if chosen.path is AnswerPath.LOCAL and small:
        return min(small, key=lambda one: one.sent_bytes).candidate
    return None
