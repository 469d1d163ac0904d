"""A network's file with rounded parameters: the same network, about half as large."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from splitfer.cloud_server.rest_api.edge_weights import MOST_CHANGE, Halves
from splitfer.cloud_server.weights.half import halved, widened
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from tests.browser.node import needs_node, run_module


def network(**parameters: np.ndarray) -> bytes:
    """An ONNX file that holds them."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(values, name) for name, values in parameters.items()]
    node = helper.make_node("Identity", [next(iter(parameters))], ["y"])
    graph = helper.make_graph([node], "g", [], [output], stored)
    made: bytes = helper.make_model(graph).SerializeToString()
    return made


def parameters(model: bytes) -> dict[str, np.ndarray]:
    stored = onnx.load_model_from_string(model).graph.initializer
    return {one.name: numpy_helper.to_array(one) for one in stored}


def test_large_floats_are_rounded_and_all_else_is_as_it_was() -> None:
    rng = np.random.default_rng(5)
    given = {
        "large": rng.normal(0, 1e-3, (40, 50)).astype(np.float32),
        "small": rng.normal(size=10).astype(np.float32),
        "whole": np.arange(5000, dtype=np.int64),
        "tiny": (rng.normal(size=2000) * 1e-7).astype(np.float32),
    }
    model = network(**given)
    packed = halved(model)
    assert len(packed) < len(model) - 2 * (2000 + 2000) + 200
    back = widened(packed)
    assert len(back) == len(model)
    found = parameters(back)
    for name in ("large", "tiny"):
        assert np.array_equal(found[name], given[name].astype(np.float16).astype(np.float32))
    for name in ("small", "whole"):
        assert np.array_equal(found[name], given[name])


def test_what_float16_does_not_hold_is_refused() -> None:
    for bad in (1e5, np.inf, np.nan):
        with pytest.raises(ValueError, match="too large"):
            halved(network(large=np.full(2000, bad, np.float32)))


@given(st.binary(max_size=200))
def test_any_bytes_are_packed_as_they_are_or_refused(data: bytes) -> None:
    try:
        packed = halved(data)
    except ValueError:
        return
    assert widened(packed) == data


def test_the_shipped_local_tail_is_offered_and_comes_out_close() -> None:
    weights = Weights(default_folder())
    half = Halves().of(weights)
    assert half is not None
    whole = (weights.folder / weights.manifest.tails[LOCAL_TAIL].file).stat().st_size
    assert len(half.packed) < 0.5 * whole
    for label_set, logits in half.entry["logits"].items():
        golden = weights.golden.logits[LOCAL_TAIL][label_set].ravel()
        assert np.abs(np.array(logits) - golden).max() <= MOST_CHANGE * np.abs(golden).max()


@needs_node
def test_a_browser_widens_every_number_alike(tmp_path: Path) -> None:
    finite = [bits for bits in range(2**16) if (bits >> 10) & 31 != 31]
    every = struct.pack(f"<{len(finite)}H", *finite)
    packed = b"half1" + struct.pack("<I", 3) + b"abc" + struct.pack("<I", len(finite)) + every
    packed += struct.pack("<I", 1) + b"d" + struct.pack("<I", 0)
    (found,) = run_module("widened", {"files": [base64.b64encode(packed).decode()]}, tmp_path)
    assert base64.b64decode(found) == widened(packed)
