"""ONNX Runtime with bounded threads, behind the two shapes of network that there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from shared.errors import WeightsError
from shared.stubs.onnx_subset.external_data_pb2 import ModelProto, TensorProto

_EXTERNAL = 1


class Head:
    """Crops to features and latents. Safe to call from several threads."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._session = session(model, threads)
        _check_names(self._session, "a head", ["crop"], ["features", "latent"])

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """uint8 ``(N, 224, 224)`` -> features float32 ``(N, 116, 28, 28)``, latents uint8
        ``(N, 8, 28, 28)``."""
        features, latents = self._session.run(None, {"crop": crops[:, None]})
        return np.asarray(features), np.asarray(latents)


class Tail:
    """Features (local tail) or latents (cloud tail) to probabilities. Safe from several threads."""

    def __init__(self, model: bytes, threads: int, temperature: float) -> None:
        self._session = session(model, threads)
        self._input = next((i.name for i in self._session.get_inputs()), "")
        takes = "features" if self._input == "features" else "latent"
        _check_names(self._session, "a tail", [takes], ["logits"])
        self._temperature = temperature

    def logits(self, batch: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(N, C, 28, 28)`` -> float32 ``(N, 7)``, not calibrated."""
        return np.asarray(self._session.run(None, {self._input: batch})[0])

    def run(self, batch: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(N, C, 28, 28)`` -> calibrated probabilities float32 ``(N, 7)``; rows sum to 1."""
        return softmax(self.logits(batch) / np.float32(self._temperature))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, K)`` -> ``(N, K)``, rows sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session on the processor with ``threads`` threads that do not spin while idle.

    Raises:
        WeightsError: not an ONNX model, or one that keeps data outside its file.
    """
    refuse_external_data(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's classes share no base but Exception
        raise WeightsError(f"ONNX Runtime cannot load the model: {error}") from error


def _check_names(
    loaded: onnxruntime.InferenceSession, kind: str, inputs: list[str], outputs: list[str]
) -> None:
    found = [i.name for i in loaded.get_inputs()], [o.name for o in loaded.get_outputs()]
    if found != (inputs, outputs):
        raise WeightsError(f"the ONNX model is not {kind}: it takes {found[0]}, gives {found[1]}")


def refuse_external_data(model: bytes) -> None:
    """Fail where any tensor's data lies outside the file: a hash of the file would not cover it.

    Raises:
        WeightsError: it does, or the bytes are not an ONNX model.
    """
    try:
        todo: list[Message] = [ModelProto.FromString(model)]
    except DecodeError as error:
        raise WeightsError("not an ONNX model") from error
    while todo:
        message = todo.pop()
        if isinstance(message, TensorProto) and (
            message.data_location == _EXTERNAL or message.external_data
        ):
            raise WeightsError("the ONNX model keeps data outside its file; export it as one file")
        for field, value in message.ListFields():
            if field.message_type is not None:
                todo.extend(value if field.is_repeated else [value])


def read_model(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
