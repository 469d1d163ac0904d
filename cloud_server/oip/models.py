"""What the Open Inference Protocol calls models here, free of HTTP and gRPC.

    tail-<id>   latent UINT8 (N, 8, 28, 28)                 one of the cloud tails
    full        crop FP32 or UINT8 (N, 1, 224, 224)         head, quantiser and default tail

    both give   probabilities FP32 (N, 7), label BYTES (N)

A model's version is the fingerprint of its weights. The parameter ``rate`` of a request names the
rate of its latents, ``labels`` the label set, ``timeout`` the microseconds in which an answer is of
use. Probabilities are natural: classes are as common as in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.oip.tensor import (
    BYTES,
    FP32,
    UINT8,
    InputTensor,
    OutputTensor,
    TensorSpec,
)
from splitfer.cloud_server.protocol.choices import wanted_labels
from splitfer.cloud_server.service.service import Service
from splitfer.shared.contracts import CROP_SIDE, LATENT_SHAPE, Answer
from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge, SplitFerError, UnknownModel
from splitfer.shared.labels import LABELS
from splitfer.shared.wire import DEADLINE_MS_MAX

SERVER_NAME = "splitfer"
EXTENSIONS = ("binary_tensor_data",)
PLATFORM = "onnxruntime_onnx"
FULL, TAIL_PREFIX = "full", "tail-"

_LATENT = TensorSpec("latent", (UINT8,), (-1, *LATENT_SHAPE))
_CROP = TensorSpec("crop", (FP32, UINT8), (-1, 1, CROP_SIDE, CROP_SIDE))
_PROBABILITIES = TensorSpec("probabilities", (FP32,), (-1, len(LABELS)))
_LABEL = TensorSpec("label", (BYTES,), (-1,))
OUTPUTS = (_PROBABILITIES, _LABEL)


@dataclass(frozen=True)
class OipModel:
    """One version of a model; ``tail`` is empty where it is the default's."""

    name: str
    version: str
    versions: tuple[str, ...]
    tail: str
    input: TensorSpec


def scope_of(name: str) -> Scope:
    """What a caller needs to ask the model called ``name``, there or not."""
    return Scope.IMAGE if name == FULL else Scope.INFER


class OipModels:
    """The models that a service serves, by name and version."""

    def __init__(self, service: Service, faces_max: int) -> None:
        self._service, self._faces_max = service, faces_max

    def find(self, name: str, version: str = "") -> OipModel:
        """The model called ``name``; without a version the first of them, the default's where it
        has it.

        Raises:
            UnknownModel: no such model, or no such version of it.
        """
        tail = name.removeprefix(TAIL_PREFIX) if name.startswith(TAIL_PREFIX) else ""
        served = self._service.model().served
        versions = tuple(
            one for one in served if name == FULL or tail in self._service.model(one).tails
        )
        if not versions:
            raise UnknownModel(f"no model {name[:40]!r} here; there are {', '.join(self.names())}")
        if version and version not in versions:
            raise UnknownModel(
                f"no version {version[:40]!r} of model {name}; there are {', '.join(versions)}"
            )
        spec = _CROP if name == FULL else _LATENT
        return OipModel(name, version or versions[0], versions, tail, spec)

    def names(self) -> tuple[str, ...]:
        """The names of all models."""
        served = self._service.model().served
        tails = [tail for version in served for tail in self._service.model(version).tails]
        return (FULL, *(TAIL_PREFIX + tail for tail in dict.fromkeys(tails)))

    async def infer(
        self,
        model: OipModel,
        inputs: Sequence[InputTensor],
        parameters: Mapping[str, Any],
        outputs: Sequence[str],
        deadline: Deadline,
    ) -> list[OutputTensor]:
        """The outputs named, in that order; all where none are named.

        Raises:
            MalformedPayload: an input, an output or a parameter that does not fit the model.
            PayloadTooLarge: too many faces.
            SplitFerError: what the first face failed with, since there is no partial result.
        """
        wanted = _wanted(outputs)
        if [given.name for given in inputs] != [model.input.name]:
            raise MalformedPayload(
                f"model {model.name} takes the one input {model.input.name!r}; "
                f"{len(inputs)} inputs came: {', '.join(repr(i.name[:40]) for i in inputs[:4])}"
            )
        # Before the numbers are turned into an array, which takes long where they are millions.
        most = self._faces_max
        if inputs[0].shape and inputs[0].shape[0] > most:
            raise PayloadTooLarge(f"{inputs[0].shape[0]} faces in one request; at most {most}")
        array = model.input.read(inputs[0])
        rate, labels = _word(parameters, "rate"), wanted_labels(_word(parameters, "labels"))
        deadline = _sooner(deadline, parameters)
        service = self._service
        if model.input is _CROP:
            inferred = await service.infer_crops(
                model.version, _grey(array), rate, deadline, labels
            )
        else:
            inferred = await service.infer_latents(
                model.version, model.tail, array, rate, deadline, labels
            )
        answers: list[Answer] = []
        for result in inferred.results:
            if isinstance(result, SplitFerError):
                raise result
            answers.append(result)
        given_back = {
            _PROBABILITIES.name: np.array([answer.probabilities for answer in answers], np.float32),
            _LABEL.name: np.array([answer.label for answer in answers]),
        }
        return [OutputTensor(s.name, s.datatypes[0], given_back[s.name]) for s in wanted]


def _wanted(names: Sequence[str]) -> Sequence[TensorSpec]:
    specs = {spec.name: spec for spec in OUTPUTS}
    for name in names:
        if name not in specs:
            raise MalformedPayload(f"no output {name[:40]!r}; there are {', '.join(specs)}")
    # Else a short request could ask for a very long reply.
    if len(set(names)) < len(names):
        raise MalformedPayload("an output is named twice")
    return [specs[name] for name in names] or OUTPUTS


def _word(parameters: Mapping[str, Any], key: str) -> str:
    word = parameters.get(key, "")
    if not isinstance(word, str):
        raise MalformedPayload(f"parameter {key!r} is a name, a string")
    return word


def _sooner(deadline: Deadline, parameters: Mapping[str, Any]) -> Deadline:
    timeout_us = parameters.get("timeout", 0)
    if type(timeout_us) is not int or timeout_us < 0:
        raise MalformedPayload("parameter 'timeout' is microseconds, a whole number")
    if not timeout_us:
        return deadline
    return min(deadline, Deadline.after_ms(min(timeout_us, 1000 * DEADLINE_MS_MAX) / 1000))


def _grey(crops: NDArray[Any]) -> NDArray[np.uint8]:
    """``(N, 1, 224, 224)`` of grey from 0 to 255 -> uint8 ``(N, 224, 224)``, as the head takes it.

    Raises:
        MalformedPayload: a value out of that range, or none.
    """
    crops = crops[:, 0]
    if crops.dtype == np.uint8:
        return crops
    if not ((crops >= 0) & (crops <= 255)).all():
        raise MalformedPayload(f"input {_CROP.name!r} has values that are not from 0 to 255")
    return np.asarray(np.rint(crops), np.uint8)
