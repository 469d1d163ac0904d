"""ONNX Runtime with bounded threads, behind the two kinds of network that there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from shared.contracts import LATENT_SHAPE, Device
from shared.errors import ConfigError, WeightsError
from shared.quantiser import ZERO_SYMBOL
from shared.stubs.onnx_subset.external_data_pb2 import ModelProto, TensorProto

_CUDA = "CUDAExecutionProvider"
_EXTERNAL = 1
# Names of a model's inputs and of its outputs.
Form = tuple[tuple[str, ...], tuple[str, ...]]
_HEAD: Form = (("crop",), ("features", "z"))
_ROUNDING_HEAD: Form = (("crop",), ("features", "latent"))
_LOCAL_TAIL: Form = (("features",), ("logits",))
_CLOUD_TAIL: Form = (("latent", "step"), ("logits",))
_ONE_RATE_TAIL: Form = (("latent",), ("logits",))


class Head:
    """Crops to features and ``z``. Safe to call from several threads.

    The first weights' head rounds by itself and gives the symbols; ``z`` is then what they stand
    for.
    """

    def __init__(self, model: bytes, threads: int, device: Device = "cpu") -> None:
        self._session = session(model, threads, device)
        form = _form(self._session, "a head", (_ROUNDING_HEAD, _HEAD))
        self._rounds = form is _ROUNDING_HEAD

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 ``(N, 224, 224)`` -> features float32 ``(N, 116, 28, 28)``, ``z`` float32
        ``(N, 8, 28, 28)``, the latent before its quantiser."""
        features, z = self._session.run(None, {"crop": crops[:, None]})
        if self._rounds:
            z = z.astype(np.float32) - ZERO_SYMBOL
        return np.asarray(features), np.asarray(z)


class Tail:
    """Features (local tail) or symbols (cloud tail) to probabilities. Safe from several threads.

    A cloud tail also takes the steps of each face's rate; those of the first weights have one rate
    and know its step.
    """

    def __init__(
        self, model: bytes, threads: int, temperature: float = 1.0, device: Device = "cpu"
    ) -> None:
        self._session = session(model, threads, device)
        form = _form(self._session, "a tail", (_LOCAL_TAIL, _ONE_RATE_TAIL, _CLOUD_TAIL))
        self._inputs = form[0]
        self._temperature = temperature

    def logits(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """``(N, C, 28, 28)`` -> float32 ``(N, 7)``, not calibrated.

        ``steps`` float32 ``(N, 8)``, or ``(8,)`` for all alike; a tail that takes none ignores it.

        Raises:
            ValueError: this tail takes steps, and there are none.
        """
        given: dict[str, NDArray[np.generic]] = {self._inputs[0]: batch}
        if len(self._inputs) > 1:
            if steps is None:
                raise ValueError("this tail needs the steps of each face's rate")
            shape = (len(batch), LATENT_SHAPE[0])
            given[self._inputs[1]] = np.ascontiguousarray(np.broadcast_to(steps, shape))
        return np.asarray(self._session.run(None, given)[0])

    def run(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None = None,
        temperatures: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """``(N, C, 28, 28)`` -> calibrated probabilities float32 ``(N, 7)``; rows sum to 1.

        ``temperatures`` float32 ``(N,)``, one a face, in place of the tail's own.
        """
        logits = self.logits(batch, steps)
        if temperatures is None:
            return softmax(logits / np.float32(self._temperature))
        return softmax(logits / temperatures[:, None])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, K)`` -> ``(N, K)``, rows sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def session(model: bytes, threads: int, device: Device = "cpu") -> onnxruntime.InferenceSession:
    """A session on ``device`` with ``threads`` threads that do not spin while idle.

    Raises:
        WeightsError: not an ONNX model, or one that keeps data outside its file.
        ConfigError: the device cannot be used here.
    """
    providers = _providers(device)
    refuse_external_data(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        made = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's classes share no base but Exception
        raise WeightsError(f"ONNX Runtime cannot load the model: {error}") from error
    # Without a driver it takes the processor and goes on.
    if device == "cuda" and _CUDA not in made.get_providers():
        raise ConfigError("device: cuda was asked for, but no NVIDIA GPU can be used here")
    return made


def _providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    here = onnxruntime.get_available_providers()
    if _CUDA not in here:
        raise ConfigError(
            "device: cuda needs onnxruntime-gpu in the place of onnxruntime; "
            f"this one runs on {', '.join(here)}"
        )
    # TensorFloat-32 would cost the digits that the golden check asks for.
    return [(_CUDA, {"use_tf32": "0"}), "CPUExecutionProvider"]


def _form(loaded: onnxruntime.InferenceSession, kind: str, forms: tuple[Form, ...]) -> Form:
    """Which of ``forms`` a model has.

    Raises:
        WeightsError: none.
    """
    inputs = tuple(i.name for i in loaded.get_inputs())
    outputs = tuple(o.name for o in loaded.get_outputs())
    for form in forms:
        if form == (inputs, outputs):
            return form
    raise WeightsError(f"the ONNX model is not {kind}: it takes {inputs}, gives {outputs}")


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
