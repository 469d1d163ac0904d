"""Parameters in planes of bytes, as ``training.export.planes`` stores them in a model file.

A parameter is ``planes_base[upper] + planes_step[upper] * lower`` there. ONNX Runtime computes it
when it loads the file, one operation at a time over all of it; here it is one look-up in a table of
all 65,536 pairs, whose numbers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.stubs.onnx_subset.external_data_pb2 import ModelProto, NodeProto, TensorProto

_BASE, _STEP = b"planes_base", b"planes_step"
# ONNX's numbers of types.
_FLOAT, _UINT8, _INT32 = 1, 2, 6
_SIZES = {_FLOAT: 4, _UINT8: 1}
_NODES = 6  # of each parameter
T = TypeVar("T", bound=np.generic)


def without_planes(model: bytes) -> bytes:
    """An ONNX file with those parameters in float32, in place of what computes them; every other
    file, and one in which more hangs on the planes, as it is."""
    if _BASE not in model:
        return model
    parsed = ModelProto.FromString(model)
    graph = parsed.graph
    nodes, names = list(graph.node), list[bytes]()
    while name := _parameter(nodes[_NODES * len(names) :][:_NODES]):
        names.append(name)
    first, rest = nodes[: _NODES * len(names)], nodes[_NODES * len(names) :]
    gone = {_BASE, _STEP, *(name for node in first for name in node.input)}
    used = {name for node in rest for name in node.input} | {one.name for one in graph.output}
    nested = any(one.HasField("g") or one.graphs for node in rest for one in node.attribute)
    stored = {one.name: one for one in graph.initializer}
    base, step = (stored.get(name, TensorProto()) for name in (_BASE, _STEP))
    planes = [
        [stored.get(name + part, TensorProto()) for part in (b"_upper", b"_lower")]
        for name in names
    ]
    sound = all(_is(one, _FLOAT, [256]) for one in (base, step)) and all(
        _is(one, _UINT8, upper.dims) for upper, lower in planes for one in (upper, lower)
    )
    if nested or gone & used or not sound:
        return model
    with np.errstate(all="ignore"):  # in tables of a stranger
        pairs = _values(step, np.float32)[:, None] * np.arange(256, dtype=np.float32)
        table = (_values(base, np.float32)[:, None] + pairs).ravel()
    for name, (upper, lower) in zip(names, planes, strict=True):
        place = (_values(upper, np.uint8).astype(np.uint16) << 8) | _values(lower, np.uint8)
        # In its own place: a copy of all parameters would take as long again.
        upper.name, upper.data_type = name, _FLOAT
        upper.raw_data = table.take(place).tobytes()
    del graph.node[: len(first)]
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name in gone:
            del graph.initializer[index]
    made: bytes = parsed.SerializeToString()
    return made


def _parameter(nodes: Sequence[NodeProto]) -> bytes:
    """What these six nodes compute from planes, by its name; empty where they are others."""
    if len(nodes) < _NODES or any(node.domain or len(node.output) != 1 for node in nodes):
        return b""
    name = nodes[-1].output[0]
    upper, lower, place, wide, base, step, added = (
        name + part
        for part in (b"_upper", b"_lower", b"_place", b"_wide", b"_base", b"_step", b"_added")
    )
    expected = [
        (b"Cast", [upper], place, [(b"to", _INT32)]),
        (b"Cast", [lower], wide, [(b"to", _FLOAT)]),
        (b"Gather", [_BASE, place], base, []),
        (b"Gather", [_STEP, place], step, []),
        (b"Mul", [step, wide], added, []),
        (b"Add", [base, added], name, []),
    ]
    found = [
        (one.op_type, list(one.input), one.output[0], [(a.name, a.i) for a in one.attribute])
        for one in nodes
    ]
    return name if found == expected else b""


def _is(tensor: TensorProto, kind: int, dims: Sequence[int]) -> bool:
    return (tensor.data_type, list(tensor.dims), len(tensor.raw_data)) == (
        kind,
        list(dims),
        math.prod(dims) * _SIZES[kind],
    )


def _values(tensor: TensorProto, kind: type[T]) -> NDArray[T]:
    return np.frombuffer(tensor.raw_data, kind)
