from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights.runtime import (
    Head,
    Tail,
    refuse_external_data,
    session,
    softmax,
    tail_outputs,
)


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
        nodes,
        "graph",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", shape])],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, ["N", shape])],
        [
            tensor("weight", external == "initializer"),
            helper.make_tensor("flag", TensorProto.BOOL, [], [True]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


def test_a_model_with_its_data_inside_runs() -> None:
    tail = Tail(model(), 1)
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
        Tail(model(source="picture"), 1)
    with pytest.raises(WeightsError, match=r"not a tail: .* gives .'votes'"):
        Tail(model(target="votes"), 1)


def network(
    inputs: dict[str, tuple[int, list[Any]]], nodes: list[Any], outputs: dict[str, int]
) -> bytes:
    """A model of ``nodes``; inputs as ``{name: (type, shape)}``, outputs as ``{name: type}``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *of) for name, of in inputs.items()],
        [helper.make_tensor_value_info(name, of, None) for name, of in outputs.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("second", "kind", "lowest"), [("z", TensorProto.FLOAT, 0), ("latent", TensorProto.UINT8, -128)]
)
def test_a_head_gives_z_whether_it_rounds_or_not(second: str, kind: int, lowest: int) -> None:
    nodes = [
        helper.make_node("Cast", ["crop"], ["features"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["crop"], [second], to=kind),
    ]
    data = network(
        {"crop": (TensorProto.UINT8, ["N", 1, 4, 4])},
        nodes,
        {"features": TensorProto.FLOAT, second: kind},
    )
    crops = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    z = Head(data, 1).run(crops)[1]
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, crops[:, None].astype(np.float32) + lowest)


def stepped_tail() -> Tail:
    """Gives the steps as its logits."""
    nodes = [helper.make_node("Identity", ["step"], ["logits"])]
    inputs = {
        "latent": (TensorProto.UINT8, ["N", 8, 28, 28]),
        "step": (TensorProto.FLOAT, ["N", 8]),
    }
    return Tail(network(inputs, nodes, {"logits": TensorProto.FLOAT}), 1)


def test_a_tail_with_steps_takes_one_row_for_all_or_one_a_face() -> None:
    symbols, each = np.zeros((3, 8, 28, 28), np.uint8), np.arange(24, dtype=np.float32)
    tail, each = stepped_tail(), each.reshape(3, 8)
    np.testing.assert_array_equal(tail.logits(symbols, each), each)
    np.testing.assert_array_equal(tail.logits(symbols, each[1]), each[[1, 1, 1]])
    with pytest.raises(ValueError, match="needs the steps"):
        tail.logits(symbols)


def calibrated(temperature: float) -> Tail:
    return Tail(model(), 1, {LabelSet.FER2013: temperature})


def test_a_tail_answers_each_label_set_from_one_run() -> None:
    nodes = [
        helper.make_node("Neg", ["features"], ["crowd"]),
        helper.make_node("Identity", ["features"], ["fer2013"]),
    ]
    kinds = {"crowd": TensorProto.FLOAT, "fer2013": TensorProto.FLOAT}
    data = network({"features": (TensorProto.FLOAT, ["N", 7])}, nodes, kinds)
    crowd, fer2013 = LabelSet
    tail = Tail(data, 1, {crowd: 0.5, fer2013: 4.0})
    assert (tail.label_sets, tail.default) == ((crowd, fer2013), crowd)
    rows = np.random.default_rng(0).normal(0, 1, (3, 7)).astype(np.float32)
    np.testing.assert_array_equal(tail.logits(rows), -rows)
    np.testing.assert_array_equal(tail.logits(rows, label_set=fer2013), rows)
    np.testing.assert_allclose(tail.run(rows), softmax(-rows / 0.5), rtol=1e-6)
    np.testing.assert_allclose(tail.run(rows, label_set=fer2013), softmax(rows / 4), rtol=1e-6)
    each = {crowd: np.float32([1, 2, 3]), fer2013: np.float32([4, 5, 6])}
    found = tail.run_all(rows, None, each)
    for one, sign in ((crowd, -1), (fer2013, 1)):
        np.testing.assert_allclose(found[one], softmax(sign * rows / each[one][:, None]), rtol=1e-6)


def test_the_one_output_of_before_is_of_fer2013() -> None:
    assert Tail(model(), 1).label_sets == (LabelSet.FER2013,)
    assert tail_outputs(("fer2013",)) == ("logits",)
    assert tail_outputs(tuple(LabelSet)) == ("crowd", "fer2013")
    assert tail_outputs(("crowd",)) == ("crowd",)


def test_each_face_has_its_own_temperature() -> None:
    tail, rows = calibrated(3.0), np.array([[5.0, 1.0]] * 2, np.float32)
    got = tail.run(rows, None, np.array([0.5, 4.0], np.float32))
    for row, temperature in zip(got, (0.5, 4.0), strict=True):
        np.testing.assert_allclose(row, calibrated(temperature).run(rows[:1])[0])


def test_the_temperature_flattens_the_probabilities() -> None:
    rows = np.array([[5.0, 1.0]], np.float32)
    sharp, flat = calibrated(0.5).run(rows), calibrated(4.0).run(rows)
    assert sharp[0, 0] > flat[0, 0] > 0.5
    np.testing.assert_allclose(flat.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_large_numbers() -> None:
    got = softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]], np.float32))
    np.testing.assert_allclose(got, [[0.5, 0.5], [0.0, 1.0]])
