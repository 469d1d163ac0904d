"""The reply to a frame's latents: values to messages."""

from __future__ import annotations

from collections.abc import Iterable

from splitfer.cloud_server.service.results import FaceResult, Inferred
from splitfer.shared.contracts import LatencyMs
from splitfer.shared.errors import SplitFerError
from splitfer.shared.prior import Prior
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb


def write_infer_response(
    reply: pb.InferResponse, payloads: Iterable[bytes], inferred: Inferred
) -> None:
    """Say in an empty ``reply`` what became of ``payloads``."""
    for result in inferred.results:
        write_result(reply.results.add(), result)
    write_times(reply.time, inferred.latency_ms)
    reply.checksum = infer_checksum(payloads, reply)


def write_result(into: pb.FaceResult, result: FaceResult) -> None:
    """Write an answer or an error into the message of a face."""
    if isinstance(result, SplitFerError):
        error = into.error
        error.code, error.message = result.code, str(result)
        error.retryable = result.retryable
    else:
        answer = into.answer
        answer.probabilities.extend(result.probabilities)
        answer.model, answer.labels = result.model, result.labels.value
        if result.prior is not Prior.NATURAL:
            answer.prior = result.prior.value


def write_times(into: pb.ServerTime, latency_ms: LatencyMs) -> None:
    """Write the time of each stage that ran."""
    if latency_ms.total is not None:
        into.total_ms = latency_ms.total
    if latency_ms.tail is not None:
        into.tail_ms = latency_ms.tail
    if latency_ms.detect is not None:
        into.detect_ms = latency_ms.detect
    if latency_ms.head is not None:
        into.head_ms = latency_ms.head
