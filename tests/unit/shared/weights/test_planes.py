"""Planes of bytes are read as ONNX Runtime would compute them, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.weights import runtime, shipped_folders
from splitfer.shared.weights.planes import without_planes
from training.export.half import in_half
from training.export.planes import in_planes

FILES = sorted(file for folder in shipped_folders() for file in folder.glob("*.onnx"))


def parameters(model: bytes) -> set[str]:
    return {one.name for one in onnx.load_model_from_string(model).graph.initializer}


def test_some_shipped_files_have_them() -> None:
    found = [file for file in FILES if without_planes(file.read_bytes()) != file.read_bytes()]
    assert found == [file for file in FILES if "planes_base" in parameters(file.read_bytes())]
    assert {"cloud.onnx"} <= {file.name for file in found}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_bit_of_a_shipped_network_changes(file: Path) -> None:
    model = file.read_bytes()
    read = without_planes(model)
    if read == model:
        return
    onnx.checker.check_model(onnx.load_model_from_string(read))
    assert not [name for name in parameters(read) if name.endswith(("_upper", "_lower", "_base"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "without_planes", lambda model: model)
        sessions = [runtime.session(one, 1) for one in (model, read)]
    rng = np.random.default_rng(0)
    given = {
        "latent": rng.integers(118, 139, (4, *LATENT_SHAPE), dtype=np.uint8),
        "step": rng.uniform(0.1, 1, (4, LATENT_SHAPE[0])).astype(np.float32),
    }
    first, second = (one.run(None, given) for one in sessions)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def small() -> onnx.ModelProto:
    """``y = x * w``, with ``w`` in planes."""
    w = np.linspace(-2, 2, 2048, dtype=np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2048]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "g",
        [x],
        [y],
        [numpy_helper.from_array(w, "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return onnx.load_model_from_string(in_planes(in_half(made)))


def used_elsewhere(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "w_added"


def given_out(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("w_wide", TensorProto.FLOAT, [2048]))


def short(model: onnx.ModelProto) -> None:
    (lower,) = (one for one in model.graph.initializer if one.name == "w_lower")
    lower.raw_data = lower.raw_data[1:]


def table_of_halves(model: onnx.ModelProto) -> None:
    (base,) = (one for one in model.graph.initializer if one.name == "planes_base")
    base.CopyFrom(numpy_helper.from_array(np.zeros(256, np.float16), "planes_base"))


def no_lower(model: onnx.ModelProto) -> None:
    (lower,) = (one for one in model.graph.initializer if one.name == "w_lower")
    model.graph.initializer.remove(lower)


def other_operation(model: onnx.ModelProto) -> None:
    model.graph.node[5].op_type = "Sub"


def within_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([helper.make_node("Neg", ["w_wide"], ["n"])], "b", [], [])
    model.graph.node[-1].attribute.append(helper.make_attribute("body", branch))


def bytes_that_are_no_word(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "w_added"
    model.graph.node[-1].op_type = "\x7f\x00"


def test_it_is_read(small: onnx.ModelProto) -> None:
    read = onnx.load_model_from_string(without_planes(small.SerializeToString()))
    assert [one.op_type for one in read.graph.node] == ["Mul"]
    (w,) = read.graph.initializer
    exact = np.linspace(-2, 2, 2048, dtype=np.float32).astype(np.float16).astype(np.float32)
    assert np.array_equal(numpy_helper.to_array(w), exact)


@pytest.mark.parametrize(
    "change",
    [
        used_elsewhere, given_out, short, table_of_halves, no_lower, other_operation,
        within_a_branch, bytes_that_are_no_word,
    ],
)  # fmt: skip
def test_every_other_file_is_left_as_it_is(
    small: onnx.ModelProto, change: Callable[[onnx.ModelProto], None]
) -> None:
    change(small)
    model = small.SerializeToString()
    assert without_planes(model) == model


def test_names_that_are_no_words_are_bytes_like_others(small: onnx.ModelProto) -> None:
    model = small.SerializeToString().replace(b"w_added", b"\xff_added")
    assert without_planes(model) == model
