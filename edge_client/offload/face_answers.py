"""Answers of one frame, put together from what the server and the device gave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from splitfer.edge_client.device import FoundFaces, since_ms
from splitfer.edge_client.link.replies import ServerReply
from splitfer.shared.contracts import Answer, AnswerPath, FaceAnswer, Reason, trust_in


def merge(reply: ServerReply | None, local: list[FaceAnswer], decoded_s: float) -> list[FaceAnswer]:
    """The server's answer of each face where there is one, else the device's and why."""
    if reply is None or reply.reason is not None:
        return local
    total_ms = (reply.ended_s - decoded_s) * 1000
    return [
        FaceAnswer(
            box, one, reply.path, None, replace(reply.times, total=total_ms),
            quality=reply.qualities[index] if reply.qualities else None,
        )
        if isinstance(one, Answer)
        else replace(local[index], reason=one)
        for index, (box, one) in enumerate(zip(reply.boxes, reply.results, strict=True))
    ]  # fmt: skip


def together(faces: list[FaceAnswer], local: list[FaceAnswer]) -> list[FaceAnswer]:
    """The mean of the server's and the device's probabilities, for the faces that the server
    answered."""
    return [
        _mean(face, own) if face.path is AnswerPath.CLOUD else face
        for face, own in zip(faces, local, strict=True)
    ]


def _mean(face: FaceAnswer, own: FaceAnswer) -> FaceAnswer:
    pairs = zip(face.answer.probabilities, own.answer.probabilities, strict=True)
    tail = own.answer.model.rpartition("/")[2]
    mean = tuple((a + b) / 2 for a, b in pairs)
    answer = replace(face.answer, probabilities=mean, model=f"{face.answer.model}+{tail}")
    # Whichever was there last.
    total_ms = max(face.latency_ms.total or 0.0, own.latency_ms.total or 0.0)
    return replace(face, answer=answer, latency_ms=replace(face.latency_ms, total=total_ms))


def again(faces: list[FaceAnswer], reason: Reason | None, decoded_s: float) -> list[FaceAnswer]:
    """Answers that were ready before, given now and for this reason."""
    total_ms = since_ms(decoded_s)
    return [
        replace(face, reason=reason, latency_ms=replace(face.latency_ms, total=total_ms))
        for face in faces
    ]


def balanced(faces: list[FaceAnswer], shares: tuple[float, ...] | None) -> list[FaceAnswer]:
    """Answers where all classes are equally common; ``shares`` says how common each was in
    training. As they are where it is None."""
    if shares is None:
        return faces
    return [replace(face, answer=face.answer.balanced(shares)) for face in faces]


def with_qualities(faces: list[FaceAnswer], qualities: Iterable[float]) -> list[FaceAnswer]:
    """Answers of faces whose pictures have these scores."""
    return [replace(face, quality=quality) for face, quality in zip(faces, qualities, strict=True)]


def trusted(
    faces: list[FaceAnswer], shares: tuple[float, ...], uncertain_below: float
) -> list[FaceAnswer]:
    """Answers with how far to go by them; ``shares`` say how common they take each class to be, and
    every one has its picture's score."""
    found = []
    for face in faces:
        assert face.quality is not None
        trust = trust_in(face.answer, face.quality, shares, uncertain_below)
        found.append(replace(face, trust=trust))
    return found


def with_payloads(
    faces: list[FaceAnswer], sizes: list[int], rate: str, found: FoundFaces, encode_ms: float
) -> list[FaceAnswer]:
    """Answers of faces whose payloads, of these sizes, were sent."""
    return [
        replace(
            face,
            sent_bytes=size,
            rate=rate,
            latency_ms=replace(
                face.latency_ms, detect=found.detect_ms, head=found.head_ms, encode=encode_ms
            ),
        )
        for face, size in zip(faces, sizes, strict=True)
    ]


def with_sent(faces: list[FaceAnswer], sent_bytes: int, encode_ms: float) -> list[FaceAnswer]:
    """Answers of a frame whose picture was sent."""
    return [
        replace(face, sent_bytes=sent_bytes, latency_ms=replace(face.latency_ms, encode=encode_ms))
        for face in faces
    ]
