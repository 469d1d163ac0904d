"""What a call brought, checked: a server's word is not taken for granted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from splitfer.edge_client.link.call import Call, CallFailed
from splitfer.edge_client.link.reasons import reason_of_code
from splitfer.shared.contracts import Answer, AnswerPath, Box, LatencyMs, Reason
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

# No deadline is longer.
MOST_MS = 60_000.0


@dataclass(frozen=True)
class ServerReply:
    """Per face an answer or why there is none; or one ``reason`` why there is no reply at all.

    ``qualities`` are the scores of the faces' pictures where the server cut them out and says so.
    ``times`` holds what the server and the link took, ``ended_s`` the monotonic instant at which
    the reply was there.
    """

    path: AnswerPath
    boxes: tuple[Box, ...] = ()
    results: tuple[Answer | Reason, ...] = ()
    reason: Reason | None = None
    times: LatencyMs = field(default_factory=LatencyMs)
    ended_s: float = 0.0
    qualities: tuple[float | None, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every face has an answer."""
        return self.reason is None and all(isinstance(one, Answer) for one in self.results)


def read_infer(
    call: Call[pb.InferResponse], boxes: tuple[Box, ...], labels: LabelSet
) -> ServerReply:
    """The reply of an ended ``Infer`` that asked for ``labels``, for the faces in ``boxes``."""
    try:
        reply = call.result()
    except CallFailed as error:
        return ServerReply(AnswerPath.CLOUD, reason=error.reason)
    if len(reply.results) != len(boxes):
        return ServerReply(AnswerPath.CLOUD, reason=Reason.SERVER_ERROR)
    results = tuple(_read_result(result, labels) for result in reply.results)
    times = _times(call, reply.time)
    return ServerReply(AnswerPath.CLOUD, boxes, results, None, times, _ended_s(call))


def read_classify(call: Call[pb.ClassifyResponse], labels: LabelSet) -> ServerReply:
    """The reply of an ended ``Classify`` that asked for ``labels``."""
    try:
        reply = call.result()
    except CallFailed as error:
        return ServerReply(AnswerPath.IMAGE, reason=error.reason)
    boxes = tuple(Box(f.box.x, f.box.y, f.box.w, f.box.h) for f in reply.faces)
    if any(min(box.w, box.h) < 1 for box in boxes):
        return ServerReply(AnswerPath.IMAGE, reason=Reason.SERVER_ERROR)
    qualities = tuple(f.quality if f.HasField("quality") else None for f in reply.faces)
    if not all(one is None or 0 <= one <= 1 for one in qualities):
        return ServerReply(AnswerPath.IMAGE, reason=Reason.SERVER_ERROR)
    results = tuple(_read_result(face.result, labels) for face in reply.faces)
    times = _times(call, reply.time)
    return ServerReply(AnswerPath.IMAGE, boxes, results, None, times, _ended_s(call), qualities)


def _read_result(result: pb.FaceResult, labels: LabelSet) -> Answer | Reason:
    if result.WhichOneof("result") == "error":
        return reason_of_code(result.error.code)
    probabilities = tuple(result.answer.probabilities)
    sane = len(probabilities) == len(LABELS) and all(0 <= p <= 1 for p in probabilities)
    if not sane or not math.isclose(sum(probabilities), 1, abs_tol=1e-3):
        return Reason.SERVER_ERROR
    # A server from before there were two says nothing, and answers FER2013's.
    if (result.answer.labels or LabelSet.FER2013) != labels:
        return Reason.MODEL_MISMATCH
    if (result.answer.prior or Prior.NATURAL) != Prior.NATURAL:
        return Reason.SERVER_ERROR
    return Answer(probabilities, result.answer.model, labels)


def _times(
    call: Call[pb.InferResponse] | Call[pb.ClassifyResponse], time: pb.ServerTime
) -> LatencyMs:
    round_trip_ms = (_ended_s(call) - call.sent_s) * 1000
    said_ms = (time.total_ms, time.tail_ms, time.detect_ms, time.head_ms)
    if not all(0 <= one <= MOST_MS for one in said_ms):  # a damaged reply can carry any number
        return LatencyMs(link=round_trip_ms)
    return LatencyMs(
        detect=time.detect_ms if time.HasField("detect_ms") else None,
        head=time.head_ms if time.HasField("head_ms") else None,
        link=max(0.0, round_trip_ms - time.total_ms),
        tail=time.tail_ms,
    )


def _ended_s(call: Call[pb.InferResponse] | Call[pb.ClassifyResponse]) -> float:
    assert call.done_s is not None
    return call.done_s
