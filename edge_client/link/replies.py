"""What a call brought, checked: a server's word is not taken for granted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from splitfer.edge_client.link.call import Call, CallFailed
from splitfer.edge_client.link.reasons import reason_of_code
from splitfer.shared.contracts import Answer, AnswerPath, Box, LatencyMs, Limits, Reason
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

# No deadline is longer.
MOST_MS = 60_000.0
# A server's total and the round trip are measured on two machines, and each part is rounded.
_CLOCKS_DIFFER_MS = 5.0
# Of a model's name: a fingerprint and a tail.
_LONGEST_MODEL = 100


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


def read_classify(
    call: Call[pb.ClassifyResponse],
    labels: LabelSet,
    size: tuple[int, int],
    most_faces: int = Limits.faces_per_frame,
) -> ServerReply:
    """The reply of an ended ``Classify`` that asked for ``labels`` about a picture of this width
    and height; of its faces ``most_faces``, the largest.

    More faces than any server gives, or one that lies elsewhere, make it a ``SERVER_ERROR``.
    """
    try:
        reply = call.result()
    except CallFailed as error:
        return ServerReply(AnswerPath.IMAGE, reason=error.reason)
    if len(reply.faces) > Limits.faces_per_frame:
        return ServerReply(AnswerPath.IMAGE, reason=Reason.SERVER_ERROR)
    faces = reply.faces[:most_faces]
    boxes = tuple(Box(f.box.x, f.box.y, f.box.w, f.box.h) for f in faces)
    if not all(box.lies_in(*size) for box in boxes):
        return ServerReply(AnswerPath.IMAGE, reason=Reason.SERVER_ERROR)
    qualities = tuple(f.quality if f.HasField("quality") else None for f in faces)
    if not all(one is None or 0 <= one <= 1 for one in qualities):
        return ServerReply(AnswerPath.IMAGE, reason=Reason.SERVER_ERROR)
    results = tuple(_read_result(face.result, labels) for face in faces)
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
    # It stands in every record.
    if len(result.answer.model) > _LONGEST_MODEL or not result.answer.model.isprintable():
        return Reason.SERVER_ERROR
    return Answer(probabilities, result.answer.model, labels)


def _times(
    call: Call[pb.InferResponse] | Call[pb.ClassifyResponse], time: pb.ServerTime
) -> LatencyMs:
    round_trip_ms = (_ended_s(call) - call.sent_s) * 1000
    total_ms = min(MOST_MS, round_trip_ms + _CLOCKS_DIFFER_MS)
    parts_ms = (time.tail_ms, time.detect_ms, time.head_ms)
    # A damaged reply can carry any number, and one that lies a long time that the link never took.
    if not 0 <= time.total_ms <= total_ms or not all(
        0 <= one <= time.total_ms + _CLOCKS_DIFFER_MS for one in parts_ms
    ):
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
