"""The checksum of a reply, against what it must notice."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from splitfer.shared.reply_checksum import classify_checksum, infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

PAYLOADS = [b"first", b"second"]
PROBABILITIES = ([0.7, 0.3], [0.25, 0.75])


def results() -> list[pb.FaceResult]:
    return [
        pb.FaceResult(answer=pb.Answer(probabilities=row, model="f/cloud")) for row in PROBABILITIES
    ]


def infer_reply() -> pb.InferResponse:
    return pb.InferResponse(results=[*results(), pb.FaceResult(error=pb.Error(code="overloaded"))])


def classify_reply() -> pb.ClassifyResponse:
    boxes = pb.Box(x=1, y=2, w=3, h=4), pb.Box(x=-5, y=6, w=7, h=8)
    faces = [pb.DetectedFace(box=b, result=r) for b, r in zip(boxes, results(), strict=True)]
    return pb.ClassifyResponse(faces=faces)


def test_it_is_the_crc_of_the_bytes_that_are_documented() -> None:
    text = b"firstsecond"
    for row in PROBABILITIES:
        text += struct.pack("<2f", *row) + b"f/cloud"
    assert infer_checksum(PAYLOADS, infer_reply()) == zlib.crc32(text + b"overloaded")
    text = b"picture" + struct.pack("<4i2f", 1, 2, 3, 4, *PROBABILITIES[0]) + b"f/cloud"
    text += struct.pack("<4i2f", -5, 6, 7, 8, *PROBABILITIES[1]) + b"f/cloud"
    assert classify_checksum(b"picture", classify_reply()) == zlib.crc32(text)


def swap_results(reply: pb.InferResponse) -> None:
    first, second, *rest = [pb.FaceResult.FromString(r.SerializeToString()) for r in reply.results]
    del reply.results[:]
    reply.results.extend([second, first, *rest])


def swap_probabilities(reply: pb.InferResponse) -> None:
    reply.results[0].answer.probabilities[:] = PROBABILITIES[0][::-1]


def rename(reply: pb.InferResponse) -> None:
    reply.results[1].answer.model = "g/cloud"


def drop(reply: pb.InferResponse) -> None:
    del reply.results[0]


def other_error(reply: pb.InferResponse) -> None:
    reply.results[2].error.code = "deadline"


@pytest.mark.parametrize("change", [swap_results, swap_probabilities, rename, drop, other_error])
def test_a_changed_reply_is_noticed(change: Callable[[pb.InferResponse], None]) -> None:
    reply = infer_reply()
    right = infer_checksum(PAYLOADS, reply)
    change(reply)
    assert infer_checksum(PAYLOADS, reply) != right


def test_a_reply_for_something_else_is_noticed() -> None:
    assert infer_checksum(PAYLOADS, infer_reply()) != infer_checksum(
        [b"first", b"third"], infer_reply()
    )
    moved = classify_reply()
    moved.faces[0].box.x += 1
    assert classify_checksum(b"picture", classify_reply()) != classify_checksum(b"picture", moved)
