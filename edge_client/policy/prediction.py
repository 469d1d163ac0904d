"""When an answer would be there, for each way to get it, counted from the decoded frame.

    local     elapsed, detect, head, tail
    cloud     elapsed, detect, head, encode, link, server, collect   at each rate the weights offer
    image     elapsed, jpeg, link, server, collect

An answer from the server is worth having until the device's own would be there: it starts at
``local_start_ms``, and so a wrong guess never costs the deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from splitfer.edge_client.policy.estimates import Cost, Costs
from splitfer.edge_client.policy.link_fit import LinkFit
from splitfer.shared.contracts import AnswerPath

# Even a fast device starts on its own no later than this: an answer at 60 % of the deadline
# leaves room for a scheduler's hiccup.
LOCAL_START_SHARE = 0.6
# Where the device's answer is there already, a better one is waited for so long.
ANSWERED_WAIT_SHARE = 0.95
_NOTHING = Cost()
# Where more calls than this stay without an answer, the server is not "in time".
MOST_MISSED = 0.3


@dataclass(frozen=True)
class Route:
    """One way to an answer. ``accuracy`` is the share of right answers (0..1), ``rate`` the name
    of the payload's rate on path `cloud`, else empty. ``together``: while the server answers the
    device does too, and the answer is the mean of both. ``log_loss`` (in nats) is known of all ways
    or of none."""

    path: AnswerPath
    accuracy: float
    rate: str = ""
    together: bool = False
    log_loss: float | None = None

    @property
    def merit(self) -> float:
        """What is better the higher it is: log loss tells apart what accuracy takes ten times as
        many faces to."""
        return self.accuracy if self.log_loss is None else -self.log_loss

    @cached_property
    def name(self) -> str:
        """The name in records, such as ``local``, ``cloud:low``, ``image``."""
        return f"{self.path.value}:{self.rate}" if self.rate else self.path.value


class FrameFacts(NamedTuple):
    """What is known of one frame when its path is chosen.

    ``elapsed_ms`` since it was decoded, ``faces`` found or, before the search, expected.
    ``answered``: the local answers are there already and only better ones are looked for.
    """

    elapsed_ms: float
    faces: int
    pixels: int
    searched: bool = True
    answered: bool = False


class Prediction(NamedTuple):
    """The prediction of a candidate's answer. Times in ms since the decoded frame.

    ``typical_ms`` is when it would come, ``p95_ms`` when it surely would, ``limit_ms`` until when
    it is worth having; ``expected_ms`` counts in that the device answers where it does not come.
    ``barred`` says why it cannot be chosen.
    """

    candidate: Route
    typical_ms: float
    p95_ms: float
    limit_ms: float
    expected_ms: float
    sent_bytes: int
    missed: float = 0.0
    barred: str | None = None

    def in_time(self, spare_ms: float = 0.0) -> bool:
        """Whether it is predicted to come in time with ``spare_ms`` left."""
        return self.p95_ms + spare_ms <= self.limit_ms and self.missed <= MOST_MISSED


def local_start_ms(deadline_ms: float, needs_ms: float) -> float:
    """When the device starts its own answer, in ms since the decoded frame."""
    return min(LOCAL_START_SHARE * deadline_ms, deadline_ms - needs_ms)


def own_answer(costs: Costs, faces: int, searched: bool) -> Cost:
    """What the device's own answer to a frame of ``faces`` still takes: the tail and, before the
    search, the search too. Whatever asks when the device has to start asks here."""
    typical_ms, square = _part(costs.tail, faces)
    if not searched:
        for one, n in ((costs.detect, 1), (costs.head, faces)):
            part_ms, part_2 = _part(one, n)
            typical_ms, square = typical_ms + part_ms, square + part_2
    return Cost(typical_ms, typical_ms + math.sqrt(square))


def too_late_to_send(elapsed_ms: float, deadline_ms: float, needs_ms: float) -> bool:
    """Whether the device should have started already. Where it is late whatever it does, the
    server may still be in time."""
    hopeless = 0 < deadline_ms - elapsed_ms < needs_ms
    return elapsed_ms >= local_start_ms(deadline_ms, needs_ms) and not hopeless


def predict(
    candidates: tuple[Route, ...],
    costs: Costs,
    frame: FrameFacts,
    deadline_ms: float,
    hopeful: bool = False,
) -> dict[str, Prediction]:
    """Each candidate's prediction by its name. ``hopeful``: as if what is not known of the link
    turns out well. After the search there is no more `image`."""
    elapsed_ms, n = frame.elapsed_ms, max(1, frame.faces)
    # Typical milliseconds, and the square of what may come on top: that of each is independent.
    tail_ms, tail_2 = _part(costs.tail, n)
    search_ms = search_2 = 0.0
    if not frame.searched:
        detect_ms, detect_2 = _part(costs.detect, 1)
        head_ms, head_2 = _part(costs.head, n)
        search_ms, search_2 = detect_ms + head_ms, detect_2 + head_2
    answer_here_ms = own_answer(costs, n, searched=True).p95_ms
    find_and_answer_ms = answer_here_ms
    if not frame.searched:
        find_and_answer_ms = own_answer(costs, n, searched=False).p95_ms
    collect_ms, collect_2 = _part(costs.collect, 1)
    missed = costs.link.missed if costs.link and not hopeful else 0.0
    barred = None if costs.link or hopeful else "unknown"

    predictions: dict[str, Prediction] = {}
    for one in candidates:
        if one.path is AnswerPath.LOCAL:
            own_ms, own_2 = (0.0, 0.0) if frame.answered else (tail_ms, tail_2)
            local_ms = elapsed_ms + search_ms + own_ms
            p95_ms = local_ms + math.sqrt(search_2 + own_2)
            predictions[one.name] = Prediction(one, local_ms, p95_ms, deadline_ms, local_ms, 0)
            continue
        if one.path is AnswerPath.CLOUD:
            sent_bytes = n * costs.payload_bytes[one.rate]
            made_ms, made_2 = _part(costs.encode.get(one.rate, _NOTHING), n)
            searched_ms = elapsed_ms + search_ms
            total_ms, total_2 = searched_ms + made_ms, search_2 + made_2
            instead_ms, instead_2, needs_ms = tail_ms, tail_2, answer_here_ms
        elif frame.searched:
            continue
        else:
            sent_bytes = frame.pixels * costs.bytes_per_pixel
            made_ms, made_2 = _part(costs.jpeg, 1)
            searched_ms = elapsed_ms
            total_ms, total_2 = elapsed_ms + made_ms, made_2
            instead_ms, instead_2 = search_ms + tail_ms, search_2 + tail_2
            needs_ms = find_and_answer_ms
        link_ms, link_2 = _part(_link_cost(costs.link, sent_bytes, hopeful), 1)
        if server := costs.server.get(one.path):
            server_ms, server_2 = _part(server, 1)
        else:  # until it has answered, it is taken to be no slower than this device
            server_ms, server_2 = (0.0, 0.0) if hopeful else (instead_ms, instead_2)
        total_ms += link_ms + server_ms + collect_ms
        p95_ms = total_ms + math.sqrt(total_2 + link_2 + server_2 + collect_2)
        if one.together and not frame.answered:
            own_ms = searched_ms + made_ms + tail_ms
            total_ms = max(total_ms, own_ms)
            p95_ms = max(p95_ms, own_ms + math.sqrt(search_2 + made_2 + tail_2))

        if frame.answered:
            limit_ms = fallback_ms = ANSWERED_WAIT_SHARE * deadline_ms
        else:
            start_ms = local_start_ms(deadline_ms, needs_ms)
            fallback_ms = max(searched_ms, start_ms) + instead_ms
            limit_ms = min(fallback_ms, deadline_ms)
        predictions[one.name] = Prediction(
            one,
            total_ms,
            total_ms if hopeful else p95_ms,
            limit_ms,
            (1 - missed) * min(total_ms, fallback_ms) + missed * fallback_ms,
            round(sent_bytes),
            missed,
            barred,
        )
    return predictions


def _part(cost: Cost, n: int) -> tuple[float, float]:
    """``n`` of it: typical milliseconds, and the square of what they may take beyond."""
    beyond_ms = (cost.p95_ms - cost.typical_ms) * n
    return cost.typical_ms * n, beyond_ms * beyond_ms


def _link_cost(link: LinkFit | None, sent_bytes: float, hopeful: bool) -> Cost:
    if link is None:
        return Cost()
    if hopeful:
        return Cost(link.hopeful_ms(sent_bytes))
    typical_ms = link.typical_ms(sent_bytes)
    return Cost(typical_ms, typical_ms + link.margin_ms(sent_bytes))
