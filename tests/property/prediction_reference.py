"""A slow, literal `predict`: each candidate by itself, its parts listed one after another."""

from __future__ import annotations

import math

from splitfer.edge_client.policy.estimates import Cost, Costs
from splitfer.edge_client.policy.prediction import (
    ANSWERED_WAIT_SHARE,
    FrameFacts,
    Prediction,
    Route,
    _link_cost,
    local_start_ms,
)
from splitfer.shared.contracts import AnswerPath


def predict(
    candidates: tuple[Route, ...],
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
        if not (frame.searched and one.path is AnswerPath.IMAGE)
    }


def _predict(
    candidate: Route, costs: Costs, frame: FrameFacts, deadline_ms: float, hopeful: bool
) -> Prediction:
    n = max(1, frame.faces)
    search = [] if frame.searched else [(costs.detect, 1), (costs.head, n)]
    local_tail = [] if frame.answered else [(costs.tail, n)]
    local = _sum(frame.elapsed_ms, [*search, *local_tail])
    if candidate.path is AnswerPath.LOCAL:
        return Prediction(
            candidate, local.typical_ms, local.p95_ms, deadline_ms, local.typical_ms, 0
        )

    if candidate.path is AnswerPath.CLOUD:
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
    total = _sum(frame.elapsed_ms, [*before, (link, 1), *there, (costs.collect, 1)])

    if candidate.together and not frame.answered:
        own = _sum(frame.elapsed_ms, [*before, (costs.tail, n)])
        total = Cost(max(total.typical_ms, own.typical_ms), max(total.p95_ms, own.p95_ms))

    if frame.answered:
        limit_ms = instead_ms = ANSWERED_WAIT_SHARE * deadline_ms
    else:
        needs = _sum(0.0, fallback)
        searched_ms = frame.elapsed_ms
        if candidate.path is AnswerPath.CLOUD:
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


def _sum(elapsed_ms: float, parts: list[tuple[Cost, int]]) -> Cost:
    """One after the other; what each may take beyond its typical time is independent."""
    typical_ms = elapsed_ms + sum(one.typical_ms * n for one, n in parts)
    squares = sum(((one.p95_ms - one.typical_ms) * n) ** 2 for one, n in parts)
    return Cost(typical_ms, typical_ms + math.sqrt(squares))
