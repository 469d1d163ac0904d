"""Store the cloud tails of a folder of weights in half precision:
``python -m training.export.half --weights FOLDER``.

The parameters take half the bytes, in the repository and in the wheel. The server computes in
single precision as before: its runtime widens them once, when it loads the file. Golden logits
become those of the rounded parameters; where rounding moves one by more than ``MOST_CHANGE``,
nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.golden import golden_names
from splitfer.shared.weights.runtime import Tail
from training.data.datasets import DataError, data_path
from training.data.votes import votes_or_none
from training.export.calibrate import cloud_tails, measure_folder
from training.export.folder import all_or_nothing, golden_arrays, largest_change, write_tails

# Of the largest golden logit.
MOST_CHANGE = 1e-3
# Smaller parameters are not worth a node.
_FEWEST_VALUES = 1024
# What a stored parameter passes through on its way to float32.
_OF_PARAMETERS: dict[str, Callable[..., NDArray[np.generic]]] = {
    "Cast": lambda values, to: values.astype(helper.tensor_dtype_to_np_dtype(to)),
    "Gather": lambda table, places, axis=0: np.take(table, places, axis),
    "Mul": np.multiply,
    "Add": np.add,
}


def in_half(data: bytes) -> bytes:
    """An ONNX file whose large float parameters are stored as float16 and cast to float32."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    large = [
        one
        for one in graph.initializer
        if one.data_type == TensorProto.FLOAT and np.prod(one.dims) >= _FEWEST_VALUES
    ]
    for one in large:
        with np.errstate(over="ignore"):  # its logits show it, and are looked at
            halved_values = numpy_helper.to_array(one).astype(np.float16)
        stored = numpy_helper.from_array(halved_values, f"{one.name}_half")
        cast = helper.make_node("Cast", [stored.name], [one.name], to=TensorProto.FLOAT)
        graph.initializer.remove(one)
        graph.initializer.append(stored)
        graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    halved: bytes = model.SerializeToString()
    return halved


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network of a file in half precision, or of its planes (``planes``), with its parameters
    as float32, without what computes them."""
    graph = model.graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    kept: list[onnx.NodeProto] = []
    used: set[str] = set()
    for node in graph.node:
        of = [arrays.get(name) for name in node.input]
        if node.op_type in _OF_PARAMETERS and all(one is not None for one in of):
            given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            arrays[node.output[0]] = _OF_PARAMETERS[node.op_type](*of, **given)
        else:
            kept.append(node)
            used.update(node.input)
    stored = {one.name: one for one in graph.initializer}
    parameters = [
        stored[name] if name in stored else numpy_helper.from_array(values, name)
        for name, values in arrays.items()
        if name in used
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(parameters)
    return model


def halve(folder: Path, names: Sequence[str] | None = None) -> dict[str, float]:
    """Do it to the tails of these ``names`` in ``folder``, else to its cloud tails; gives each
    tail's change, as a share of its largest golden logit.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: a tail changes by more than ``MOST_CHANGE``; nothing is written.
    """
    weights = Weights(folder)
    manifest, arrays = weights.manifest, golden_arrays(weights)
    networks, changes = {}, {}
    for name in cloud_tails(manifest) if names is None else names:
        entry = manifest.tails[name]
        networks[name] = data = in_half((folder / entry.file).read_bytes())
        found = weights.golden_logits(name, Tail(data, 1), 1)
        keys = golden_names(name, entry)
        change = largest_change(found, {one: arrays[key] for one, key in keys.items()})
        if not change <= MOST_CHANGE:
            raise ValueError(f"{name}: rounding moves a logit by {change:.2g} of the largest")
        changes[name] = change
        arrays |= {key: found[one] for one, key in keys.items()}
    write_tails(folder, manifest, networks, arrays)
    return changes


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        folder = arguments.weights or default_folder()
        with all_or_nothing(folder) as draft:
            changes = halve(draft)
            measure_folder(draft, data, votes)
    except DataError as error:
        print(f"half: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"half: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps({"folder": str(folder), "changes": changes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
