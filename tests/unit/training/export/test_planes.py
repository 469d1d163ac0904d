"""Half-precision tails as planes of bytes: they pack smaller, and no bit of an answer changes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import session
from training.export import half
from training.export.half import in_half, widened
from training.export.planes import in_planes, part_into_planes


def doubled(parameters: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    """A network that gives its parameters times its input."""
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    shapes = {"x": [1], "y": list(parameters.shape)}
    of = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    stored = [numpy_helper.from_array(parameters, "w")]
    graph = helper.make_graph(nodes, "doubled", [of["x"]], [of["y"]], stored)
    opset = [helper.make_opsetid("", 18)]
    made: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return made


def test_every_finite_float16_is_computed_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)].astype(np.float32)
    data = in_planes(in_half(doubled(every)))
    assert not [
        one for one in onnx.load_model_from_string(data).graph.initializer if one.name == "w"
    ]
    (found,) = session(data, 1).run(None, {"x": np.ones(1, np.float32)})
    assert np.array_equal(found, every)
    (back,) = widened(onnx.load_model_from_string(data)).graph.initializer
    assert (back.name, numpy_helper.to_array(back).tolist()) == ("w", every.tolist())


def test_what_is_no_finite_number_is_refused() -> None:
    with pytest.raises(ValueError, match="w: not a finite number"), np.errstate(over="ignore"):
        in_planes(in_half(doubled(np.full(2048, 1e6, np.float32))))


def test_a_tail_packs_smaller_and_answers_bit_for_bit_as_before(
    weights_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "MOST_CHANGE", 0.01)  # this network learnt nothing
    half.halve(weights_copy)
    before = Weights(weights_copy)
    latents, steps = before.golden.latents, before.quantiser.steps(before.rate_index(""))
    wanted = before.tail("cloud", 1).all_logits(latents, steps)
    others = {name: (weights_copy / name).read_bytes() for name in ("local.onnx", "golden.npz")}
    packed = part_into_planes(weights_copy)

    after = Weights(weights_copy)
    assert packed.keys() == {"cloud"}
    assert packed["cloud"][1] == len(zlib.compress((weights_copy / "cloud.onnx").read_bytes()))
    assert packed["cloud"][1] < 0.97 * packed["cloud"][0]
    assert {name: (weights_copy / name).read_bytes() for name in others} == others
    assert after.manifest.fingerprint == before.manifest.fingerprint
    found = after.tail("cloud", 1).all_logits(latents, steps)
    assert all(np.array_equal(found[one], logits) for one, logits in wanted.items())
    assert part_into_planes(weights_copy) == {}
