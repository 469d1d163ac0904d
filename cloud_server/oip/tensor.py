"""Tensors of the Open Inference Protocol: from what a caller sends to arrays, and back.

A tensor's contents come raw (little endian, row-major) or as numbers, flat or nested as its shape
is. A shape is believed where as many elements came: nothing is allocated on a peer's word.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.errors import MalformedPayload

# Those that this server's models speak.
UINT8, FP32, BYTES = "UINT8", "FP32", "BYTES"
_DTYPES: Mapping[str, np.dtype[Any]] = {UINT8: np.dtype("u1"), FP32: np.dtype("<f4")}
_NUMBERS: Mapping[str, frozenset[type]] = {
    UINT8: frozenset({int}),  # not bool, whose type is another
    FP32: frozenset({int, float}),
}
_LENGTH = struct.Struct("<I")

Contents = bytes | memoryview | Sequence[Any]


@dataclass(frozen=True, eq=False)
class InputTensor:
    """An input as it was sent; nothing of it is checked."""

    name: str
    datatype: str
    shape: Sequence[int]
    contents: Contents


@dataclass(frozen=True)
class TensorSpec:
    """What a model takes or gives; -1 in ``shape`` is the number of faces.

    The first of ``datatypes`` is the one that metadata names; an input may come as any of them.
    """

    name: str
    datatypes: tuple[str, ...]
    shape: tuple[int, ...]

    def read(self, given: InputTensor) -> NDArray[Any]:
        """The array of a tensor that was sent for this one, read-only where it was raw.

        Raises:
            MalformedPayload: another datatype or shape, or not as many elements as the shape says.
        """
        name = f"input {self.name!r}"
        if given.datatype not in self.datatypes:
            raise MalformedPayload(
                f"{name} has datatype {given.datatype[:20]!r}; "
                f"it takes {' or '.join(self.datatypes)}"
            )
        shape = tuple(given.shape)
        if len(shape) != len(self.shape) or not all(map(_fits, shape, self.shape)):
            raise MalformedPayload(
                f"{name} has shape {_shown(shape)}; "
                f"it takes {list(self.shape)}, -1 being the number of faces, at least 1"
            )
        if isinstance(given.contents, bytes | memoryview):
            return _from_raw(name, given.contents, _DTYPES[given.datatype], shape)
        return _from_numbers(name, given.contents, given.datatype, shape)


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """An output. ``values`` are numbers, or strings where the datatype is BYTES."""

    name: str
    datatype: str
    values: NDArray[Any]

    @property
    def shape(self) -> list[int]:
        """The shape of the values."""
        return list(self.values.shape)

    def raw(self) -> bytes:
        """The contents raw; of BYTES each element is its length, 4 bytes, and its bytes."""
        if self.datatype != BYTES:
            return self.values.astype(_DTYPES[self.datatype], copy=False).tobytes()
        words = [word.encode() for word in self.flat()]
        return b"".join(_LENGTH.pack(len(word)) + word for word in words)

    def flat(self) -> list[Any]:
        """The contents as Python's numbers or strings, row-major."""
        values: list[Any] = self.values.ravel().tolist()
        return values


def _fits(side: int, wanted: int) -> bool:
    return side >= 1 if wanted < 0 else side == wanted


def _from_raw(
    name: str, data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    if len(data) != size:
        raise MalformedPayload(f"{name} has {len(data)} bytes; shape {_shown(shape)} makes {size}")
    return np.frombuffer(data, dtype).reshape(shape)


def _from_numbers(
    name: str, numbers: Sequence[Any], datatype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    flat = _unnested(name, numbers, shape)
    if len(flat) != math.prod(shape):
        raise MalformedPayload(
            f"{name} has {len(flat)} elements; shape {_shown(shape)} makes {math.prod(shape)}"
        )
    flat = list(flat)  # of protobuf's sequences each step would be slow
    if not set(map(type, flat)) <= _NUMBERS[datatype]:
        raise MalformedPayload(f"{name} has elements that are no {datatype}")
    try:
        with np.errstate(over="raise"):
            return np.array(flat, _DTYPES[datatype]).reshape(shape)
    except (OverflowError, FloatingPointError) as error:
        raise MalformedPayload(f"{name} has elements out of the range of {datatype}") from error


def _unnested(name: str, numbers: Sequence[Any], shape: tuple[int, ...]) -> Sequence[Any]:
    """Flat, where it was flat or nested as ``shape`` is."""
    if not (numbers and isinstance(numbers[0], list)):
        return numbers
    level, count = numbers, 1
    for outer, inner in pairwise(shape):
        count *= outer
        # Each check and step is on all elements of a level at once: they may be millions.
        if (
            len(level) != count
            or set(map(type, level)) != {list}
            or set(map(len, level)) != {inner}
        ):
            raise MalformedPayload(f"{name} has nested data that is not of shape {_shown(shape)}")
        level = list(chain.from_iterable(level))
    return level


def _shown(peers: Sequence[int]) -> str:
    # A peer's word may be megabytes.
    return f"{list(peers[:8])}" + (" and more" if len(peers) > 8 else "")
