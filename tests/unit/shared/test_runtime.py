from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from shared.errors import WeightsError
from shared.runtime import Head, Tail, refuse_external_data, session, softmax


def tensor(name: str, external: bool) -> TensorProto:
    made = helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0, 2.0])
    if external:
        made.ClearField("float_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="../secret.bin")
    return made


def model(
    external: str = "", source: str = "features", target: str = "logits", shape: int = 2
) -> bytes:
    """``target = source + constant``; ``external`` names the place whose data lies outside."""
    branches = []
    for name in ("then", "else"):
        node = helper.make_node("Constant", [], [name], value=tensor(name, external == name))
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        branches.append(helper.make_graph([node], name, [], [out]))
    nodes = [
        helper.make_node("Constant", [], ["inner"], value=tensor("inner", external == "node")),
        helper.make_node(
            "If", ["flag"], ["chosen"], then_branch=branches[0], else_branch=branches[1]
        ),
        helper.make_node("Sum", [source, "weight", "inner", "chosen"], [target]),
    ]
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", shape])],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, ["N", shape])],
        [tensor("weight", external == "initializer"),
         helper.make_tensor("flag", TensorProto.BOOL, [], [True])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


def test_a_model_with_its_data_inside_runs() -> None:
    tail = Tail(model(), 1, 1.0)
    got = tail.logits(np.zeros((3, 2), np.float32))
    assert got.tolist() == [[3, 6]] * 3


@pytest.mark.parametrize("place", ["initializer", "node", "then", "else"])
def test_external_data_is_refused_wherever_it_is(place: str) -> None:
    with pytest.raises(WeightsError, match="outside its file"):
        session(model(place), 1)


def test_external_data_is_refused_in_a_function() -> None:
    made = onnx.load_from_string(model())
    node = helper.make_node("Constant", [], ["y"], value=tensor("y", True))
    made.functions.append(
        helper.make_function("ours", "F", [], ["y"], [node], [helper.make_opsetid("", 18)])
    )
    with pytest.raises(WeightsError, match="outside its file"):
        refuse_external_data(made.SerializeToString())


def test_external_data_is_refused_in_a_sparse_tensor() -> None:
    made = onnx.load_from_string(model())
    made.graph.sparse_initializer.add().values.CopyFrom(tensor("s", True))
    with pytest.raises(WeightsError, match="outside its file"):
        refuse_external_data(made.SerializeToString())


@pytest.mark.parametrize("data", [b"hello, world", b"\xff" * 50, b"\x89PNG\r\n\x1a\n"])
def test_not_an_onnx_model(data: bytes) -> None:
    with pytest.raises(WeightsError):
        session(data, 1)


def test_an_empty_file_is_not_a_model() -> None:
    with pytest.raises(WeightsError, match="cannot load"):
        session(b"", 1)


def test_a_model_of_another_kind_is_named() -> None:
    with pytest.raises(WeightsError, match="not a head: it takes"):
        Head(model(), 1)
    with pytest.raises(WeightsError, match="not a tail: it takes"):
        Tail(model(source="crop"), 1, 1.0)


def test_the_temperature_flattens_the_probabilities() -> None:
    rows = np.array([[5.0, 1.0]], np.float32)
    sharp, flat = Tail(model(), 1, 0.5).run(rows), Tail(model(), 1, 4.0).run(rows)
    assert sharp[0, 0] > flat[0, 0] > 0.5
    np.testing.assert_allclose(flat.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_large_numbers() -> None:
    got = softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]], np.float32))
    np.testing.assert_allclose(got, [[0.5, 0.5], [0.0, 1.0]])
