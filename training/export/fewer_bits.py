"""Round the parameters of the local tail to fewer bits:
``python -m training.export.fewer_bits --weights FOLDER``.

A float32 has 24 significant bits. With 16 of them each parameter moves by at most 2^-16 of itself,
which moves logits by less than the golden check tells apart, so that nothing but the file and its
hash changes. The zeros in their place are what a wheel packs: four fifths of the bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import Tail
from training.export.folder import largest_change, write_tails

SIGNIFICANT_BITS = 16
# Of the largest golden logit; the check of the golden logits allows five times as much.
MOST_CHANGE = 2e-5
_DROPPED_BITS = 24 - SIGNIFICANT_BITS


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finite ``values`` of any shape with ``SIGNIFICANT_BITS`` significant bits, to nearest."""
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    kept = np.uint32(0xFFFFFFFF ^ ((1 << _DROPPED_BITS) - 1))
    return ((values.view(np.uint32) + half) & kept).view(np.float32)


def round_local_tail(folder: Path) -> float:
    """Do it in ``folder``; gives the change, as a share of the largest golden logit.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: a logit changes by more than ``MOST_CHANGE``; nothing is written.
    """
    weights = Weights(folder)
    file = folder / weights.manifest.tails[LOCAL_TAIL].file
    model = onnx.load_model_from_string(file.read_bytes())
    for one in model.graph.initializer:
        if one.data_type == TensorProto.FLOAT:
            values = np.ascontiguousarray(numpy_helper.to_array(one))
            one.CopyFrom(numpy_helper.from_array(rounded(values), one.name))
    data = model.SerializeToString()
    before, after = (
        weights.golden_logits(LOCAL_TAIL, tail, 1)
        for tail in (weights.tail(LOCAL_TAIL, 1), Tail(data, 1))
    )
    change = largest_change(after, before)
    if not change <= MOST_CHANGE:
        raise ValueError(f"rounding moves a logit by {change:.2g} of the largest")
    write_tails(folder, weights.manifest, {LOCAL_TAIL: data})
    return change


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    folder = arguments.weights or default_folder()
    try:
        change = round_local_tail(folder)
    except WeightsError as error:
        print(f"fewer_bits: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps({"folder": str(folder), "change": change}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
