"""YuNet, as the library libfacedetection holds it, to an ONNX file of grey pictures:
``python -m training.export.yunet --library PATH/libfacedetection.so --out FILE.onnx``.

The library is in the package yuface (3-clause BSD), for x86-64. Its parameters are float32 arrays
under names of their own, with batch normalisation folded in. What this changes, without changing a
result: a grey picture stands for three equal channels, so the first convolution's are added up;
the five points of a face are left out; a level's score and box come from one pair of convolutions.

    picture (1, 1, H, W) uint8 -> stem /4 -> stages /8 /16 /32 -> top-down sums -> a map a level
    ``stride_8`` (1, 6, H/8, W/8), ``stride_16``, ``stride_32``: class and object logits, then the
    box: its middle from the cell's corner and the logarithm of its sides, in strides

H and W are multiples of 32.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitfer.shared.whole_file import write_whole

STRIDES = (8, 16, 32)
_PARTS = ("cls", "obj", "bbox")
# The first layer's filters have 27 values and a length that suits the library's vectors.
_PADDED, _USED = 32, 27
_OPSET, _IR = 17, 9


class Library:
    """The library's parameters by name."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path.resolve()))

    def array(self, name: str, count: int) -> NDArray[np.float32]:
        """``count`` values.

        Raises:
            ValueError: the library has none of that name.
        """
        return np.array((ctypes.c_float * count).in_dll(self._library, name), np.float32)

    def pair(self, name: str, inputs: int, outputs: int) -> tuple[NDArray[np.float32], ...]:
        """A 1x1 convolution's weight and bias, and those of the 3x3 one by channels behind it."""
        point = self.array(f"{name}_pw_weight", outputs * inputs).reshape(outputs, inputs, 1, 1)
        depth = self.array(f"{name}_dw_weight", 9 * outputs).reshape(3, 3, 1, outputs)
        return (
            point,
            self.array(f"{name}_pw_bias", outputs),
            np.ascontiguousarray(depth.transpose(3, 2, 0, 1)),
            self.array(f"{name}_dw_bias", outputs),
        )

    def stem(self, outputs: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The first convolution, 3x3 with step 2, of pictures ``(1, 1, H, W)``."""
        rows = self.array("backbone__model0_pw_weight", outputs * _PADDED)
        weight = rows.reshape(outputs, _PADDED)[:, :_USED].reshape(outputs, 3, 3, 3)
        return weight.sum(3)[:, None], self.array("backbone__model0_pw_bias", outputs)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.parameters: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        out = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def keep(self, array: NDArray[np.generic]) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters.append(numpy_helper.from_array(array, name))
        return name

    def pair(self, source: str, arrays: Sequence[NDArray[np.float32]], relu: bool = True) -> str:
        point, point_bias, depth, depth_bias = arrays
        out = self.add("Conv", [source, self.keep(point), self.keep(point_bias)])
        out = self.add(
            "Conv",
            [out, self.keep(depth), self.keep(depth_bias)],
            group=len(depth),
            pads=[1, 1, 1, 1],
        )
        return self.add("Relu", [out]) if relu else out

    def halved(self, source: str) -> str:
        return self.add("MaxPool", [source], kernel_shape=[2, 2], strides=[2, 2])

    def doubled(self, source: str) -> str:
        scales = self.keep(np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize",
            [source, "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )


def yunet(library: Library) -> onnx.ModelProto:
    """The network with the library's parameters."""
    graph = _Graph()
    weight, bias = library.stem(16)
    out = graph.add("Cast", ["picture"], to=TensorProto.FLOAT)
    out = graph.add(
        "Conv", [out, graph.keep(weight), graph.keep(bias)], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    out = graph.add("Relu", [out])
    out = graph.halved(graph.pair(out, library.pair("backbone__model0_dp", 16, 16)))
    stages = []
    for stage, (inputs, between, outputs) in enumerate(
        ((16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64)), 1
    ):
        if stage > 2:
            out = graph.halved(out)
        name = f"backbone__model{stage}_dp"
        out = graph.pair(out, library.pair(f"{name}1", inputs, between))
        out = graph.pair(out, library.pair(f"{name}2", between, outputs))
        stages.append(out)
    above, maps = "", []
    for level, stage_out in reversed(list(enumerate(stages[2:]))):
        joined = graph.add("Add", [graph.doubled(above), stage_out]) if above else stage_out
        above = graph.pair(joined, library.pair(f"neck__lateral_convs__{level}", 64, 64))
        heads = [
            library.pair(f"bbox_head__multi_level_{part}__{level}", 64, 4 if part == "bbox" else 1)
            for part in _PARTS
        ]
        together = [np.concatenate(arrays) for arrays in zip(*heads, strict=True)]
        found = graph.pair(above, together, relu=False)
        graph.nodes[-1].output[0] = name = f"stride_{STRIDES[level]}"
        assert found
        maps.append(
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, [1, 6, f"H/{STRIDES[level]}", f"W/{STRIDES[level]}"]
            )
        )
    given = helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, 1, "H", "W"])
    made = helper.make_model(
        helper.make_graph(graph.nodes, "yunet", [given], maps[::-1], graph.parameters),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        doc_string="YuNet, parameters of libfacedetection: (c) Shiqi Yu, 3-clause BSD licence",
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--library", type=Path, required=True, help="libfacedetection.so")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    arguments = parser.parse_args()
    write_whole(arguments.out, yunet(Library(arguments.library)).SerializeToString(), True)


if __name__ == "__main__":
    main()
