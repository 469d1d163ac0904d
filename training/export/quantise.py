"""An ONNX network in fewer bits: float16, int8 weights by paper 004's eq. 2-4, and int8 weights and
activations by ONNX Runtime's static calibration. All take and give the same inputs and outputs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from training.export.half import in_half, widened

BITS = 8
# Smaller parameters are not worth a node; biases stay as they are.
_FEWEST_VALUES = 512
_WEIGHED = ("Conv", "Gemm", "MatMul")


def symmetric(weights: NDArray[np.float32], bits: int = BITS) -> tuple[NDArray[np.int8], float]:
    """``(W_b, S_b)`` of paper 004: ``S_b = (2^b - 1) / (2 max|W|)`` (eq. 3, 4) and ``W_b`` the
    nearest whole numbers to ``S_b W``, within ``(2^b - 1) / 2`` (eq. 2); all zero gives scale 1."""
    most = float(np.abs(weights).max(initial=0.0))
    if most == 0:
        return np.zeros(weights.shape, np.int8), 1.0
    scale = (2**bits - 1) / (2 * most)
    limit = (2**bits - 1) // 2
    return np.clip(np.rint(scale * weights.astype(np.float64)), -limit, limit).astype(
        np.int8
    ), scale


def symmetric_int8(data: bytes) -> bytes:
    """The weights of convolutions and of fully connected layers as ``symmetric`` int8. A runtime
    computes with what they stand for."""
    model = widened(onnx.load_model_from_string(data))
    graph = model.graph
    for one in _weights_of(graph):
        rounded, scale = symmetric(numpy_helper.to_array(one))
        stored = numpy_helper.from_array(rounded, f"{one.name}_int8")
        step = numpy_helper.from_array(np.array(1 / scale, np.float32), f"{one.name}_step")
        # Not DequantizeLinear: ONNX Runtime leaves that to every run.
        wide = f"{one.name}_wide"
        cast = helper.make_node("Cast", [stored.name], [wide], to=onnx.TensorProto.FLOAT)
        graph.initializer.remove(one)
        graph.initializer.extend((stored, step))
        graph.node.insert(0, helper.make_node("Mul", [wide, step.name], [one.name]))
        graph.node.insert(0, cast)
    return _checked(model)


def pruned(data: bytes, share: float) -> bytes:
    """The same network with this share of each such layer's weights at zero, those of least
    magnitude; the last layer, which answers, keeps all.

    Raises:
        ValueError: ``share`` is not at least 0 and less than 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"a share of weights to prune is from 0 to less than 1, not {share}")
    model = widened(onnx.load_model_from_string(data))
    for one in _weights_of(model.graph):
        weights = numpy_helper.to_array(one).copy()
        if "classifier.weight" in one.name:
            continue
        flat = weights.reshape(-1)
        flat[np.argsort(np.abs(flat), kind="stable")[: round(share * flat.size)]] = 0
        one.CopyFrom(numpy_helper.from_array(weights, one.name))
    return _checked(model)


def float16_weights(data: bytes) -> bytes:
    """Parameters stored in half the bytes; a runtime widens them once and computes as before."""
    return in_half(_checked(widened(onnx.load_model_from_string(data))))


def float16_everywhere(data: bytes) -> bytes:
    """Parameters and activations in half precision, but for inputs and outputs."""
    from onnxruntime.transformers.float16 import (  # noqa: TID251 - not the runtime itself
        convert_float_to_float16,
    )

    model = widened(onnx.load_model_from_string(data))
    return _checked(convert_float_to_float16(model, keep_io_types=True))


def static_int8(data: bytes, crops: NDArray[np.uint8]) -> bytes:
    """Weights (symmetric, by channel) and activations of convolutions and the last layer in int8,
    their ranges from what ``crops`` ``(N, 1, 224, 224)`` give (ONNX Runtime).

    Weights take seven bits: processors with AVX2 and no instructions for dot products of bytes add
    pairs of products in 16 bits, which eight bits overflow (Light-FER lost 8 points of accuracy
    there). So such a processor gives the numbers of every other one.
    """
    from onnxruntime.quantization import (  # noqa: TID251 - not the runtime itself
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Crops(CalibrationDataReader):  # type: ignore[misc] # no types are published
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(crops, len(crops)))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"crop": batch}

    logger = logging.getLogger()
    level = logger.level
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(_checked(widened(onnx.load_model_from_string(data))))
        logger.setLevel(logging.ERROR)  # it recommends a step that was done
        try:
            quantize_static(
                source,
                target,
                Crops(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,
                op_types_to_quantize=["Conv", "Gemm"],
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
            )
        finally:
            logger.setLevel(level)
        return target.read_bytes()


def _weights_of(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """The large weights, which stand second in their operator's inputs."""
    names = {node.input[1] for node in graph.node if node.op_type in _WEIGHED}
    return [
        one
        for one in graph.initializer
        if one.name in names
        and np.prod(one.dims) >= _FEWEST_VALUES
        and one.data_type == onnx.TensorProto.FLOAT
        and not one.name.endswith("reduce")
    ]


def _checked(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
