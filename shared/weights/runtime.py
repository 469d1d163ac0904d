"""ONNX Runtime with bounded threads, behind the two kinds of network that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from splitfer.shared.codec.quantiser import ZERO_SYMBOL
from splitfer.shared.contracts import LATENT_SHAPE, Device
from splitfer.shared.errors import ConfigError, SplitFerError, WeightsError
from splitfer.shared.labels import LabelSet, default_label_set
from splitfer.shared.regular_file import MIB, read_regular
from splitfer.shared.stubs.onnx_subset.external_data_pb2 import ModelProto, TensorProto
from splitfer.shared.weights.planes import without_planes

_CUDA = "CUDAExecutionProvider"
_EXTERNAL = 1
_NO_ROOM = ("bad_alloc", "Failed to allocate memory", "Available memory of")
_LARGEST_MODEL_BYTES = 512 * MIB
# Names of a model's inputs and of its outputs.
Form = tuple[tuple[str, ...], tuple[str, ...]]
_HEAD: Form = (("crop",), ("features", "z"))
_ROUNDING_HEAD: Form = (("crop",), ("features", "latent"))
# A tail's inputs: of the local one, of a classifier of crops that needs no head, of one whose
# latents have one rate, of one with steps. Its outputs are ``tail_outputs``.
_TAIL_INPUTS = (("features",), ("crop",), ("latent",), ("latent", "step"))
_ONE_OUTPUT = ("logits",)


class Head:
    """Crops to features and ``z``. Safe to call from several threads.

    The first weights' head rounds by itself and gives the symbols; ``z`` is then what they stand
    for.
    """

    def __init__(self, model: bytes, threads: int, device: Device = "cpu") -> None:
        self._session = session(model, threads, device)
        form = _form(self._session)
        if form not in (_ROUNDING_HEAD, _HEAD):
            raise _not_a("head", form)
        self._rounds = form == _ROUNDING_HEAD

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 ``(N, 224, 224)`` -> features float32 ``(N, 116, 28, 28)``, ``z`` float32
        ``(N, 8, 28, 28)``, the latent before its quantiser."""
        features, z = self._session.run(None, {"crop": crops[:, None]})
        if self._rounds:
            z = z.astype(np.float32) - ZERO_SYMBOL
        return np.asarray(features), np.asarray(z)


class Tail:
    """Features or crops (local tails) or symbols (cloud tail) to probabilities. Safe from several
    threads.

    A cloud tail also takes the steps of each face's rate; those of the first weights have one rate
    and know its step. A tail answers each of its ``label_sets`` from one run; where a call names
    none, ``default``. ``temperatures`` are by label set, 1 where there is none.
    """

    def __init__(
        self,
        model: bytes,
        threads: int,
        temperatures: Mapping[LabelSet, float] | None = None,
        device: Device = "cpu",
    ) -> None:
        self._session = session(model, threads, device)
        form = self._inputs, outputs = _form(self._session)
        if self._inputs not in _TAIL_INPUTS:
            raise _not_a("tail", form)
        if outputs == _ONE_OUTPUT:
            self.label_sets: tuple[LabelSet, ...] = (LabelSet.FER2013,)
        else:
            try:
                self.label_sets = tuple(map(LabelSet, outputs))
            except ValueError:
                raise _not_a("tail", form) from None
        self.default = default_label_set(self.label_sets)
        # Whether it takes crops uint8 ``(N, 1, 224, 224)``, and no head's features.
        self.takes_crops = self._inputs == ("crop",)
        self._temperatures = temperatures or {}

    def logits(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None = None,
        label_set: LabelSet | None = None,
    ) -> NDArray[np.float32]:
        """``(N, C, H, W)`` -> float32 ``(N, 7)``, not calibrated, of one label set.

        ``steps`` float32 ``(N, 8)``, or ``(8,)`` for all alike; a tail that takes none ignores it.

        Raises:
            ValueError: this tail takes steps, and there are none.
        """
        return self.all_logits(batch, steps)[label_set or self.default]

    def all_logits(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None = None,
    ) -> dict[LabelSet, NDArray[np.float32]]:
        """``logits`` of every label set, from one run."""
        given: dict[str, NDArray[np.generic]] = {self._inputs[0]: batch}
        if len(self._inputs) > 1:
            if steps is None:
                raise ValueError("this tail needs the steps of each face's rate")
            shape = (len(batch), LATENT_SHAPE[0])
            given[self._inputs[1]] = np.ascontiguousarray(np.broadcast_to(steps, shape))
        found = map(np.asarray, self._session.run(None, given))
        return dict(zip(self.label_sets, found, strict=True))

    def run(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None = None,
        temperatures: NDArray[np.float32] | None = None,
        label_set: LabelSet | None = None,
    ) -> NDArray[np.float32]:
        """``(N, C, H, W)`` -> calibrated probabilities float32 ``(N, 7)``; rows sum to 1.

        ``temperatures`` float32 ``(N,)``, one a face, in place of the tail's own.
        """
        label_set = label_set or self.default
        logits = self.logits(batch, steps, label_set)
        if temperatures is None:
            return softmax(logits / np.float32(self._temperatures.get(label_set, 1.0)))
        return softmax(logits / temperatures[:, None])

    def run_all(
        self,
        batch: NDArray[np.float32] | NDArray[np.uint8],
        steps: NDArray[np.float32] | None,
        temperatures: Mapping[LabelSet, NDArray[np.float32]],
    ) -> dict[LabelSet, NDArray[np.float32]]:
        """``run`` in every label set of ``temperatures``, from one run of the network."""
        logits = self.all_logits(batch, steps)
        return {
            label_set: softmax(logits[label_set] / each[:, None])
            for label_set, each in temperatures.items()
        }


def tail_outputs(label_sets: Sequence[str]) -> tuple[str, ...]:
    """What the outputs of a tail are called that answers these. Before there were two label sets
    there was one output for FER2013's, and where it is the only one its name is still that."""
    names = tuple(map(str, label_sets))
    return _ONE_OUTPUT if names == (LabelSet.FER2013,) else names


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, K)`` -> ``(N, K)``, rows sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def session(model: bytes, threads: int, device: Device = "cpu") -> onnxruntime.InferenceSession:
    """A session on ``device`` with ``threads`` threads that do not spin while idle.

    Raises:
        WeightsError: not an ONNX model, or one that keeps data outside its file.
        ConfigError: the device cannot be used here.
        MemoryError: there is no room for it.
    """
    providers = _providers(device)
    refuse_external_data(model)
    model = without_planes(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    with a_fault_of_the_weights("ONNX Runtime cannot load the model"):
        made = onnxruntime.InferenceSession(model, options, providers=providers)
    # Without a driver it takes the processor and goes on.
    if device == "cuda" and _CUDA not in made.get_providers():
        raise ConfigError("device: cuda was asked for, but no NVIDIA GPU can be used here")
    return made


@contextmanager
def a_fault_of_the_weights(what: str) -> Iterator[None]:
    """Where ONNX Runtime or NumPy fails inside, the network is to blame: ``what`` went wrong.

    Raises:
        WeightsError: they failed, in one line.
        MemoryError: there was no room, which says nothing of the network.
    """
    try:
        yield
    except (SplitFerError, MemoryError):
        raise
    except Exception as error:  # ONNX Runtime's classes share no base but Exception
        if any(words in str(error) for words in _NO_ROOM):
            raise MemoryError(str(error)) from error
        raise WeightsError(f"{what}: {' '.join(str(error).split())}") from error


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


def _form(loaded: onnxruntime.InferenceSession) -> Form:
    inputs = tuple(i.name for i in loaded.get_inputs())
    return inputs, tuple(o.name for o in loaded.get_outputs())


def _not_a(kind: str, form: Form) -> WeightsError:
    return WeightsError(f"the ONNX model is not a {kind}: it takes {form[0]}, gives {form[1]}")


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
        return read_regular(path, _LARGEST_MODEL_BYTES)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
