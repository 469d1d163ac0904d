"""A network's file for the way to a browser: its large parameters as float16, all else as it is.

    "half1" | length 4, bytes | count 4, float16 ... | length 4, bytes | ...   little endian

What unpacks it widens the parameters: a file for any runtime, of the same operators.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

MAGIC = b"half1"
# Smaller parameters are sent as they are.
_FEWEST_BYTES = 4096
# ONNX's protobuf: fields of ModelProto, GraphProto and TensorProto.
_GRAPH, _INITIALIZER, _DATA_TYPE, _RAW_DATA, _FLOAT = 7, 5, 2, 9, 1
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_COUNT = struct.Struct("<I")
_LARGEST = float(np.finfo(np.float16).max)


def halved(model: bytes) -> bytes:
    """The bytes of an ONNX file -> the packed file.

    Raises:
        ValueError: it is no ONNX file, or a parameter is too large for float16.
    """
    parts = [MAGIC]
    at = 0
    for start, end in _large_parameters(model):
        values = np.frombuffer(model[start:end], "<f4")
        if not np.abs(values).max() <= _LARGEST:
            raise ValueError("a parameter is too large for float16")
        parts += [_COUNT.pack(start - at), model[at:start]]
        parts += [_COUNT.pack(len(values)), values.astype("<f2").tobytes()]
        at = end
    parts += [_COUNT.pack(len(model) - at), model[at:], _COUNT.pack(0)]
    return b"".join(parts)


def widened(packed: bytes) -> bytes:
    """A packed file -> the bytes of an ONNX file with the rounded parameters."""
    parts, at = [], len(MAGIC)
    while at < len(packed):
        (length,) = _COUNT.unpack_from(packed, at)
        at += _COUNT.size
        parts.append(packed[at : at + length])
        at += length
        (count,) = _COUNT.unpack_from(packed, at)
        at += _COUNT.size
        parts.append(np.frombuffer(packed, "<f2", count, at).astype("<f4").tobytes())
        at += 2 * count
    return b"".join(parts)


def _large_parameters(model: bytes) -> Iterator[tuple[int, int]]:
    """Where float32 parameters of some size lie, in order."""
    for number, start, end in _fields(model, 0, len(model)):
        if number != _GRAPH:
            continue
        for inner, begin, stop in _fields(model, start, end):
            if inner == _INITIALIZER and (place := _raw_floats(model, begin, stop)) is not None:
                yield place


def _raw_floats(model: bytes, start: int, end: int) -> tuple[int, int] | None:
    kind, place = 0, None
    for number, begin, stop in _fields(model, start, end):
        if number == _DATA_TYPE:
            kind, _ = _varint(model, begin)
        elif number == _RAW_DATA and stop - begin >= _FEWEST_BYTES and (stop - begin) % 4 == 0:
            place = begin, stop
    return place if kind == _FLOAT else None


def _fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """A message's fields: number, and where the value lies."""
    while place < end:
        tag, place = _varint(data, place)
        start, wire = place, tag & 7
        if wire == _VARINT:
            _, place = _varint(data, place)
        elif wire == _FIXED64:
            place += 8
        elif wire == _FIXED32:
            place += 4
        elif wire == _LENGTH:
            length, start = _varint(data, place)
            place = start + length
        else:
            raise ValueError("no ONNX file")
        if place > end:
            raise ValueError("no ONNX file")
        yield tag >> 3, start, place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("no ONNX file")
