"""Store the half-precision parameters of a folder's cloud tails as planes of bytes:
``python -m training.export.planes --weights FOLDER``.

The upper byte of a float16 (sign, exponent, two bits of the fraction) takes few of its values
often; the lower byte takes all of them alike. Each kind by itself packs better than the two in
turns, so that a wheel is smaller. In the file a parameter is ``base[upper] + step[upper] * lower``
with two tables of 256 numbers, which is exact in float32: a runtime computes it once, when it loads
the file, and nothing but the file and its hash changes.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from training.export.folder import write_tails
from training.export.half import widened

_BASE, _STEP = "planes_base", "planes_step"


def tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``(base, step)`` float32 ``(256,)`` by the upper byte of a float16: its value where the lower
    byte is 0, and what each one of the lower byte adds. Infinities and what is no number, which no
    parameter is, count as zero."""
    upper = np.arange(256, dtype=np.uint16) << 8
    base, next_one = (
        np.nan_to_num(bits.view(np.float16).astype(np.float32), nan=0, posinf=0, neginf=0)
        for bits in (upper, upper + 1)
    )
    return base, next_one - base


def in_planes(data: bytes) -> bytes:
    """An ONNX file whose parameters in float16, each behind a cast, are stored as planes.

    Raises:
        ValueError: one of them is not finite.
    """
    model = onnx.load_model_from_string(data)
    graph = model.graph
    halves = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT16}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]
    if not casts:
        return data
    nodes = []
    for cast in casts:
        stored, name = halves[cast.input[0]], cast.output[0]
        values = np.ascontiguousarray(numpy_helper.to_array(stored))
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: not a finite number")
        bits = values.view(np.uint16)
        upper, lower = (f"{name}_upper", f"{name}_lower")
        planes = {upper: bits >> 8, lower: bits & 255}
        graph.initializer.remove(stored)
        graph.node.remove(cast)
        graph.initializer.extend(
            numpy_helper.from_array(plane.astype(np.uint8), one) for one, plane in planes.items()
        )
        place, wide, base, step, added = (
            f"{name}_{part}" for part in ("place", "wide", "base", "step", "added")
        )
        nodes += [
            helper.make_node("Cast", [upper], [place], to=TensorProto.INT32),
            helper.make_node("Cast", [lower], [wide], to=TensorProto.FLOAT),
            helper.make_node("Gather", [_BASE, place], [base]),
            helper.make_node("Gather", [_STEP, place], [step]),
            helper.make_node("Mul", [step, wide], [added]),
            helper.make_node("Add", [base, added], [name]),
        ]
    for name, table in zip((_BASE, _STEP), tables(), strict=True):
        graph.initializer.append(numpy_helper.from_array(table, name))
    kept = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(kept)
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made


def part_into_planes(folder: Path) -> dict[str, tuple[int, int]]:
    """Do it in ``folder`` where it packs smaller; gives those tails' packed bytes, before and
    after.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: a parameter is not a number, or would be another one; nothing is written.
    """
    manifest = Weights(folder).manifest
    networks, packed = {}, {}
    for name, entry in manifest.tails.items():
        if entry.path is not AnswerPath.CLOUD:
            continue
        before = (folder / entry.file).read_bytes()
        after = in_planes(before)
        sizes = (len(zlib.compress(before)), len(zlib.compress(after)))
        if sizes[1] >= sizes[0]:
            continue
        if _parameters(after) != _parameters(before):
            raise ValueError(f"{name}: its parameters would not come back")
        networks[name], packed[name] = after, sizes
    write_tails(folder, manifest, networks)
    return packed


def _parameters(data: bytes) -> dict[str, bytes]:
    graph = widened(onnx.load_model_from_string(data)).graph
    return {one.name: numpy_helper.to_array(one).tobytes() for one in graph.initializer}


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    folder = arguments.weights or default_folder()
    try:
        packed = part_into_planes(folder)
    except WeightsError as error:
        print(f"planes: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps({"folder": str(folder), "packed_bytes": packed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
