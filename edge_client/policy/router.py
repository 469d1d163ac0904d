"""The policy at work: it is fed with what frames and calls measure, and asked for decisions."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.link.call import Call
from splitfer.edge_client.policy.decision import Decision, Why
from splitfer.edge_client.policy.estimates import Estimates
from splitfer.edge_client.policy.policy import Memory, PolicySettings, charge, decide, shadow_due
from splitfer.edge_client.policy.prediction import FrameFacts, Route, own_answer, predict
from splitfer.edge_client.policy.routes import candidates
from splitfer.shared.contracts import Answer, AnswerPath, Reason
from splitfer.shared.deadline import Clock
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights.manifest import LOCAL_TAIL, Manifest


class Router:
    """Chooses the path of each frame, or always the same where ``always`` names one. Belongs to
    one thread.

    ``bytes_by_rate``: what one face's payload takes until it was measured here. ``decision`` is
    the last one; None while there was none for the frame in hand.
    """

    def __init__(
        self,
        settings: PolicySettings,
        bytes_by_rate: Mapping[str, float],
        always: Route | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.estimates = Estimates(bytes_by_rate)
        self.decision: Decision | None = None
        self._settings, self._always, self._clock = settings, always, clock
        self._memory = Memory()
        self._refused = False
        self._calls: list[tuple[Call[Any], AnswerPath, int]] = []
        self._faces = 1
        self._counts: Counter[str] = Counter()
        self._by_choice: Counter[str] = Counter()

    @property
    def before_search(self) -> bool:
        """Whether a whole picture may be sent, so that a decision is due before the search."""
        paths = {one.path for one in self._settings.candidates}
        return AnswerPath.IMAGE in ({self._always.path} if self._always else paths)

    def next_frame(self) -> None:
        """A frame begins; what calls brought meanwhile is learnt."""
        self.decision = None
        self.estimates.next_frame()
        self.learn()

    def learn(self) -> None:
        """Learn from the calls that have ended. Before the next frame would do; after the last one
        has its answers, nobody waits for it."""
        if not self._calls:
            return
        ended = [one for one in self._calls if one[0].wait(0)]
        self._calls = [one for one in self._calls if one not in ended]
        for call, path, sent_bytes in ended:
            self._learn(call, path, sent_bytes)

    def choose(
        self,
        elapsed_ms: float,
        faces: int | None,
        pixels: int,
        refusal: Reason | None,
        answered: bool = False,
    ) -> Decision:
        """The path of this frame. ``faces`` is None before the search, ``refusal`` the link's;
        ``answered``: the device has, and is not sure."""
        if self._refused and refusal is None:
            self.estimates.link_made_anew()
        self._refused = refusal is not None
        searched = faces is not None
        if faces is not None:
            self._faces = faces
        frame = FrameFacts(elapsed_ms, self._faces, pixels, searched, answered)
        held = self._memory.current
        if self._always is not None:
            decision = self._configured(self._always, frame, refusal)
        else:
            decision, self._memory = decide(
                self.estimates.costs(), frame, self._settings, self._memory, self._clock(), refusal
            )
        self.decision = decision
        self._by_choice[decision.chosen.name] += 1
        if self._memory.current != held:
            self._counts["switches"] += 1
        if decision.probe is not None:
            self._counts["tries"] += 1
        return decision

    def needs_ms(self, faces: int, searched: bool) -> float:
        """What the device's own answer to a frame of ``faces`` may still take (p95); before the
        search as many as the last frame had are expected."""
        return own_answer(
            self.estimates.costs(), faces if searched else self._faces, searched
        ).p95_ms

    def sent(self, call: Call[Any], path: AnswerPath, sent_bytes: int) -> None:
        """A call is under way; what it tells is learnt once it has ended."""
        self._memory = charge(self._memory, sent_bytes)
        self._calls.append((call, path, sent_bytes))

    def compared(self, local: Sequence[Answer], remote: Sequence[Answer]) -> None:
        """Learn from server and device having answered the same faces."""
        self._counts["shadow_faces"] += len(local)
        self._counts["shadow_agree"] += sum(
            a.label == b.label for a, b in zip(local, remote, strict=True)
        )

    def report(self) -> dict[str, Any]:
        """For the summary: see docs/device/records.md."""
        faces = self._counts["shadow_faces"]
        return {
            "decisions": dict(sorted(self._by_choice.items())),
            "switches": self._counts["switches"],
            "tries": self._counts["tries"],
            "shadow": {
                "faces": faces,
                "agreement": round(self._counts["shadow_agree"] / faces, 4) if faces else None,
            },
        }

    def _configured(self, always: Route, frame: FrameFacts, refusal: Reason | None) -> Decision:
        settings, asked = self._settings, self._by_choice[always.name]
        return Decision(
            always,
            Why.CONFIGURED,
            always.name,
            settings.objective,
            frame,
            tuple(
                predict(
                    settings.candidates, self.estimates.costs(), frame, settings.deadline_ms
                ).values()
            ),
            shadow=always.path is AnswerPath.CLOUD and shadow_due(asked, settings.shadow_share),
            refusal=None if always.path is AnswerPath.LOCAL else refusal,
        )

    def _learn(self, call: Call[Any], path: AnswerPath, sent_bytes: int) -> None:
        assert call.done_s is not None
        done_s = call.done_s
        took_ms = (done_s - call.sent_s) * 1000
        failure = call.failure()
        if failure is not None:
            waited_ms = took_ms if failure.reason is Reason.DEADLINE else None
            self.estimates.failed(sent_bytes, waited_ms, done_s)
            return
        server_ms = call.result().time.total_ms
        # A server's word is not taken for granted.
        if not (math.isfinite(server_ms) and 0 <= server_ms <= took_ms):
            server_ms = 0.0
        self.estimates.replied(path, sent_bytes, took_ms - server_ms, server_ms, done_s)


def make_router(
    config: EdgeConfig, manifest: Manifest, rate: str, label_set: LabelSet | None = None
) -> Router:
    """The router that the settings ask for. ``rate``: the name of the one that `cloud` sends;
    ``label_set``: whose labels are answered, else the weights' default."""
    wanted = config.effective_policy
    alone = wanted in (Policy.CLOUD, Policy.IMAGE)
    ways = candidates(
        manifest,
        rate if alone else config.rate,
        image=wanted is Policy.IMAGE or (wanted is Policy.AUTO and config.auto_image),
        together=wanted is Policy.CASCADE
        or (wanted is Policy.AUTO and config.objective is Objective.ACCURACY),
        label_set=label_set,
        # A device that is there has it: it would not have started else.
        local_tail=manifest.local_models.get(config.local_model, LOCAL_TAIL),
    )
    settings = PolicySettings(
        ways,
        config.deadline_ms,
        # A cascade asks for the sake of accuracy.
        config.objective if wanted is Policy.AUTO else Objective.ACCURACY,
        config.min_accuracy,
        config.max_bytes_per_s,
        config.shadow_share,
    )
    bytes_by_rate = {one.name: one.bytes_mean for one in manifest.rates}
    fixed = wanted not in (Policy.AUTO, Policy.CASCADE)
    always = next(one for one in ways if one.path.value == wanted) if fixed else None
    return Router(settings, bytes_by_rate, always)
