"""The checksum of a reply: it binds the answers to what they answer.

TCP's own is 16 bits and ends at the next proxy. A reply whose probabilities were damaged, that came
twice, or that belongs to another call still parses; its checksum does not fit.

    CRC-32 (IEEE, as in zlib) of, one after another,
      Infer     every payload sent, then every result
      Classify  the picture sent, then of every face x, y, w, h (int32) and its result
      a result  the probabilities (float32) and the model's name (UTF-8), or the error's code

Numbers are little endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb


def infer_checksum(payloads: Iterable[bytes], reply: pb.InferResponse) -> int:
    """What ``reply.checksum`` must be for a request with ``payloads``."""
    return _crc([*payloads, *map(_result, reply.results)])


def classify_checksum(picture: bytes, reply: pb.ClassifyResponse) -> int:
    """What ``reply.checksum`` must be for a request with ``picture``."""
    faces = (
        struct.pack("<4i", face.box.x, face.box.y, face.box.w, face.box.h) + _result(face.result)
        for face in reply.faces
    )
    return _crc([picture, *faces])


def _result(result: pb.FaceResult) -> bytes:
    if result.WhichOneof("result") == "error":
        return result.error.code.encode()
    probabilities = result.answer.probabilities
    return struct.pack(f"<{len(probabilities)}f", *probabilities) + result.answer.model.encode()


def _crc(parts: Iterable[bytes]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
