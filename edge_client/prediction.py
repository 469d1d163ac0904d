"""When an answer would be there, for each way to get it, counted from the decoded frame.

    local     elapsed, detect, head, tail
    cloud     elapsed, detect, head, encode, link, server      at each rate the weights offer
    image     elapsed, jpeg, link, server

An answer from the server is worth having until the device's own would be there: it starts at
``local_start_ms``, and so a wrong guess never costs the deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from edge_client.estimates import Cost, Costs
from edge_client.link_fit import LinkFit
from shared.contracts import Path

# Even a fast device starts on its own no later than this: an answer at 60 % of the deadline
# leaves room for a scheduler's hiccup.
LOCAL_START_SHARE = 0.6
# Where the device's answer is there already, a better one is waited for so long.
ANSWERED_WAIT_SHARE = 0.95
# Where more calls than this stay without an answer, the server is not "in time".
MOST_MISSED = 0.3


@dataclass(frozen=True)
class Candidate:
    """One way to an answer. ``accuracy`` is the share of right answers (0..1), ``rate`` the name
    of the payload's rate on path `cloud`, else empty."""

    path: Path
    accuracy: float
    rate: str = ""

    @cached_property
    def name(self) -> str:
        """Such as ``local``, ``cloud:low``, ``image``."""
        return f"{self.path.value}:{self.rate}" if self.rate else self.path.value


@dataclass(frozen=True)
class FrameFacts:
    """What is known of one frame when its path is chosen.

    ``elapsed_ms`` since it was decoded, ``faces`` found or, before the search, expected.
    ``answered``: the local answers are there already and only better ones are looked for.
    """

    elapsed_ms: float
    faces: int
    pixels: int
    searched: bool = True
    answered: bool = False


@dataclass(frozen=True)
class Prediction:
    """A candidate's answer, foretold. Times in ms since the decoded frame.

    ``typical_ms`` is when it would come, ``p95_ms`` when it surely would, ``limit_ms`` until when
    it is worth having; ``expected_ms`` counts in that the device answers where it does not come.
    ``barred`` says why it cannot be chosen.
    """

    candidate: Candidate
    typical_ms: float
    p95_ms: float
    limit_ms: float
    expected_ms: float
    sent_bytes: int
    missed: float = 0.0
    barred: str | None = None

    def in_time(self, spare_ms: float = 0.0) -> bool:
        """Whether it is foretold to come in time with ``spare_ms`` left."""
        return self.p95_ms + spare_ms <= self.limit_ms and self.missed <= MOST_MISSED


def local_start_ms(deadline_ms: float, needs_ms: float) -> float:
    """When the device starts its own answer, in ms since the decoded frame."""
    return min(LOCAL_START_SHARE * deadline_ms, deadline_ms - needs_ms)


def predict(
    candidates: tuple[Candidate, ...],
    costs: Costs,
    frame: FrameFacts,
    deadline_ms: float,
    hopeful: bool = False,
) -> dict[str, Prediction]:
    """Each candidate's prediction by its name. ``hopeful``: as if what is not known of the link
    turns out well. After the search there is no more `image`."""
    return {
        one.name: _predict(one, costs, frame, deadline_ms, hopeful)
        for one in candidates
        if not (frame.searched and one.path is Path.IMAGE)
    }


def _predict(
    candidate: Candidate, costs: Costs, frame: FrameFacts, deadline_ms: float, hopeful: bool
) -> Prediction:
    n = max(1, frame.faces)
    search = [] if frame.searched else [(costs.detect, 1), (costs.head, n)]
    local_tail = [] if frame.answered else [(costs.tail, n)]
    local = _sum(frame.elapsed_ms, [*search, *local_tail])
    if candidate.path is Path.LOCAL:
        return Prediction(
            candidate, local.typical_ms, local.p95_ms, deadline_ms, local.typical_ms, 0
        )

    if candidate.path is Path.CLOUD:
        sent_bytes = n * costs.payload_bytes[candidate.rate]
        before = [*search, (costs.encode.get(candidate.rate, Cost()), n)]
        fallback = [(costs.tail, n)]
    else:
        sent_bytes = frame.pixels * costs.bytes_per_pixel
        before = [(costs.jpeg, 1)]
        fallback = [(costs.detect, 1), (costs.head, n), (costs.tail, n)]
    # Until a server has answered, it is taken to be no slower than this device.
    unknown = [] if hopeful else fallback
    server = costs.server.get(candidate.path)
    there = [(server, 1)] if server else unknown
    link = _link_cost(costs.link, sent_bytes, hopeful)
    total = _sum(frame.elapsed_ms, [*before, (link, 1), *there])

    if frame.answered:
        limit_ms = instead_ms = ANSWERED_WAIT_SHARE * deadline_ms
    else:
        needs = _sum(0.0, fallback)
        searched_ms = frame.elapsed_ms
        if candidate.path is Path.CLOUD:
            searched_ms = _sum(frame.elapsed_ms, search).typical_ms
        start_ms = max(searched_ms, local_start_ms(deadline_ms, needs.p95_ms))
        instead_ms = start_ms + needs.typical_ms
        limit_ms = min(instead_ms, deadline_ms)
    missed = costs.link.missed if costs.link and not hopeful else 0.0
    expected_ms = (1 - missed) * min(total.typical_ms, instead_ms) + missed * instead_ms
    return Prediction(
        candidate,
        total.typical_ms,
        total.typical_ms if hopeful else total.p95_ms,
        limit_ms,
        expected_ms,
        round(sent_bytes),
        missed,
        barred=None if costs.link or hopeful else "unknown",
    )


def _link_cost(link: LinkFit | None, sent_bytes: float, hopeful: bool) -> Cost:
    if link is None:
        return Cost()
    if hopeful:
        return Cost(link.hopeful_ms(sent_bytes))
    typical_ms = link.typical_ms(sent_bytes)
    return Cost(typical_ms, typical_ms + link.margin_ms(sent_bytes))


def _sum(elapsed_ms: float, parts: list[tuple[Cost, int]]) -> Cost:
    """One after the other; what each may take beyond its typical time is independent."""
    typical_ms, squares = elapsed_ms, 0.0
    for (one_ms, p95_ms), n in parts:  # a loop: this runs a dozen times a frame on weak devices
        typical_ms += one_ms * n
        squares += ((p95_ms - one_ms) * n) ** 2
    return Cost(typical_ms, typical_ms + math.sqrt(squares))
